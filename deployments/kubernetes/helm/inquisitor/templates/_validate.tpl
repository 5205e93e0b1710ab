{{/* What a schema cannot say, or not with a reason. Every problem at once. */}}
{{- define "inquisitor.validate" -}}
{{- $problems := list -}}
{{- $replicas := int .Values.replicaCount -}}
{{- if eq (mod $replicas 2) 0 -}}
{{- $problems = append $problems (printf "replicaCount is %d: a cluster needs a majority, so that %d members tolerate no more failures than %d; write %d or %d" $replicas $replicas (sub $replicas 1) (sub $replicas 1) (add $replicas 1)) -}}
{{- end -}}
{{- $spare := div (sub $replicas 1) 2 -}}
{{- if and .Values.podDisruptionBudget.enabled (gt $replicas 1) (gt (int .Values.podDisruptionBudget.maxUnavailable) (int $spare)) -}}
{{- $problems = append $problems (printf "podDisruptionBudget.maxUnavailable is %d: %d members keep a majority with at most %d away" (int .Values.podDisruptionBudget.maxUnavailable) $replicas (int $spare)) -}}
{{- end -}}
{{- $folders := list "DATA_DIR" "ARTIFACT_DIR" "MANIFEST_DIR" "SUBSTRATE_DIR" "INQUISITOR_SECRET_DIR" "INQUISITOR_CACHE_DIR" -}}
{{- $ports := dict "HTTP_LISTEN" ":8000" "RAFT_LISTEN" ":4321" -}}
{{- $own := dict "SHUTDOWN_TIMEOUT" "shutdown.timeoutSeconds, from which the pod's grace period follows" "ALLOW_SECRETS" "secrets.allow, which mounts them too" "HTTP_TLS_CERT" "http.tls.existingSecret, so that probes use TLS too" "HTTP_TLS_KEY" "http.tls.existingSecret" "RAFT_TLS_CA" "raft.tls.existingSecret" "RAFT_TLS_CERT" "raft.tls.existingSecret" "RAFT_TLS_KEY" "raft.tls.existingSecret" -}}
{{- $seen := dict -}}
{{- range .Values.env -}}
{{- if hasKey $seen .name -}}
{{- $problems = append $problems (printf "env names %s twice" .name) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- if and (has .name $folders) (not (hasPrefix "/" (default "" .value))) -}}
{{- $problems = append $problems (printf "env: %s needs a value that is an absolute path, since a volume is mounted there" .name) -}}
{{- end -}}
{{- if and (hasKey $ports .name) (not (hasSuffix (index $ports .name) (default "" .value))) -}}
{{- $problems = append $problems (printf "env: %s must end in %s, the port of services, probes and policies; to change what clients see, set service.port" .name (index $ports .name)) -}}
{{- end -}}
{{- with index $own .name -}}
{{- $problems = append $problems (printf "env: set %s" .) -}}
{{- end -}}
{{- end -}}
{{- range $part := list "manifests" "plugins" "substrate" -}}
{{- $source := index $.Values $part -}}
{{- $given := list -}}
{{- range $key := list "files" "image" "existingClaim" "existingConfigMap" -}}
{{- if index $source $key }}{{ $given = append $given (printf "%s.%s" $part $key) }}{{ end -}}
{{- end -}}
{{- if gt (len $given) 1 -}}
{{- $problems = append $problems (printf "%s: one of them at most" (join " and " $given)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.plugins.image (semverCompare "<1.31-0" .Capabilities.KubeVersion.Version) -}}
{{- $problems = append $problems (printf "plugins.image needs image volumes, which Kubernetes %s does not have; use plugins.existingClaim, or upload the plugins" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if not .Values.secrets.existingSecret -}}
{{- range $secret, $key := .Values.secrets.allow -}}
{{- if and (ne $key "api-key") (not (hasKey $.Values.secrets.data $key)) -}}
{{- $problems = append $problems (printf "secrets.allow: %s is the entry %s, which secrets.data does not hold" $secret $key) -}}
{{- end -}}
{{- end -}}
{{- else if or .Values.secrets.apiKey .Values.secrets.data -}}
{{- $problems = append $problems "secrets.existingSecret is given, so that secrets.apiKey and secrets.data would go nowhere" -}}
{{- end -}}
{{- if has "api-key" (values .Values.secrets.allow) -}}
{{- $problems = append $problems "secrets.allow names api-key: whoever may submit a manifest could then read the administrator's key" -}}
{{- end -}}
{{- if and .Values.raft.existingSecret .Values.raft.clusterSecret -}}
{{- $problems = append $problems "raft.existingSecret is given, so that raft.clusterSecret would go nowhere" -}}
{{- end -}}
{{- if and .Values.raft.tls.existingSecret (or .Values.raft.existingSecret .Values.raft.clusterSecret) -}}
{{- $problems = append $problems "raft.tls.existingSecret and a cluster secret: members prove themselves in one way" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- $problems = append $problems "ingress.enabled without ingress.hosts" -}}
{{- end -}}
{{- with $problems -}}
{{- fail (printf "\n  - %s" (join "\n  - " .)) -}}
{{- end -}}
{{- end -}}
