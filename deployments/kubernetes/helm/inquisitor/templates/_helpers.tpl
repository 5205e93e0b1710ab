{{/* Name of the chart's objects. Short enough for "-headless" and the pods' numbers within 63 characters. */}}
{{- define "inquisitor.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "inquisitor.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* What tells this release's objects from others'. */}}
{{- define "inquisitor.selector" -}}
app.kubernetes.io/name: {{ include "inquisitor.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What services, policies and budgets select: members, and never a test's pod. */}}
{{- define "inquisitor.members" -}}
{{ include "inquisitor.selector" . }}
app.kubernetes.io/component: member
{{- end -}}

{{/* Labels of objects. */}}
{{- define "inquisitor.labels" -}}
app: inquisitor
{{ include "inquisitor.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: inquisitor
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "inquisitor.image" -}}
{{- $tagged := printf "%s:%s" .Values.image.repository (default (printf "v%s" .Chart.AppVersion) .Values.image.tag) -}}
{{- if .Values.image.digest }}{{ printf "%s@%s" $tagged .Values.image.digest }}{{ else }}{{ $tagged }}{{ end -}}
{{- end -}}

{{- define "inquisitor.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "inquisitor.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "inquisitor.secretName" -}}
{{- default (printf "%s-secrets" (include "inquisitor.fullname" .)) .Values.secrets.existingSecret -}}
{{- end -}}

{{- define "inquisitor.clusterSecretName" -}}
{{- default (printf "%s-cluster" (include "inquisitor.fullname" .)) .Values.raft.existingSecret -}}
{{- end -}}

{{/* An entry of a Secret of the chart: what the values say, else what the cluster has, else something new.
     Call with root, secret, key, given, length. */}}
{{- define "inquisitor.kept" -}}
{{- $there := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- $data := dict -}}
{{- if $there }}{{ $data = default dict $there.data }}{{ end -}}
{{- if .given -}}
{{- .given | b64enc -}}
{{- else if index $data .key -}}
{{- index $data .key -}}
{{- else -}}
{{- randAlphaNum (int .length) | b64enc -}}
{{- end -}}
{{- end -}}

{{/* Addresses of all members: the first label of each is the member's name. */}}
{{- define "inquisitor.peers" -}}
{{- $name := include "inquisitor.fullname" . -}}
{{- $peers := list -}}
{{- range $member := until (int .Values.replicaCount) -}}
{{- $peers = append $peers (printf "%s-%d.%s-headless:4321" $name $member $name) -}}
{{- end -}}
{{- join "," $peers -}}
{{- end -}}

{{/* A setting that is a folder: what `env` says, else the chart's own. Call with root, name, own. */}}
{{- define "inquisitor.folder" -}}
{{- $folder := .own -}}
{{- $name := .name -}}
{{- range .root.Values.env }}{{ if eq .name $name }}{{ $folder = .value }}{{ end }}{{ end -}}
{{- $folder -}}
{{- end -}}

{{- define "inquisitor.dataDir" }}{{ include "inquisitor.folder" (dict "root" . "name" "DATA_DIR" "own" "/app/data") }}{{ end -}}
{{- define "inquisitor.artifactDir" }}{{ include "inquisitor.folder" (dict "root" . "name" "ARTIFACT_DIR" "own" "/app/artifacts") }}{{ end -}}
{{- define "inquisitor.manifestDir" }}{{ include "inquisitor.folder" (dict "root" . "name" "MANIFEST_DIR" "own" "/app/manifests") }}{{ end -}}
{{- define "inquisitor.substrateDir" }}{{ include "inquisitor.folder" (dict "root" . "name" "SUBSTRATE_DIR" "own" "/app/substrate") }}{{ end -}}
{{- define "inquisitor.secretDir" }}{{ include "inquisitor.folder" (dict "root" . "name" "INQUISITOR_SECRET_DIR" "own" "/app/secrets") }}{{ end -}}
{{- define "inquisitor.cacheDir" }}{{ include "inquisitor.folder" (dict "root" . "name" "INQUISITOR_CACHE_DIR" "own" "/var/cache/inquisitor") }}{{ end -}}

{{/* Settings that are the same for every member. */}}
{{- define "inquisitor.settings" -}}
LOG_LEVEL: {{ .Values.logging.level | quote }}
LOG_FORMAT: {{ .Values.logging.format | quote }}
DATA_DIR: "/app/data"
ARTIFACT_DIR: "/app/artifacts"
MANIFEST_DIR: "/app/manifests"
INQUISITOR_CACHE_DIR: "/var/cache/inquisitor"
HTTP_LISTEN: "0.0.0.0:8000"
RAFT_LISTEN: "0.0.0.0:4321"
RAFT_PEERS: {{ include "inquisitor.peers" . | quote }}
SHUTDOWN_TIMEOUT: "{{ .Values.shutdown.timeoutSeconds }}s"
{{- with .Values.plugins }}
{{- if or .image .existingClaim .existingConfigMap }}
INQUISITOR_PLUGIN_DIR: "/usr/local/lib/inquisitor/plugins:/app/plugins"
{{- end }}
{{- end }}
{{- with .Values.substrate }}
{{- if or .existingClaim .existingConfigMap }}
SUBSTRATE_DIR: "/app/substrate"
{{- end }}
{{- end }}
{{- with .Values.secrets.allow }}
INQUISITOR_SECRET_DIR: "/app/secrets"
ALLOW_SECRETS: {{ keys . | sortAlpha | join "," | quote }}
{{- end }}
{{- if .Values.raft.tls.existingSecret }}
RAFT_TLS_CA: "/app/raft-tls/ca.crt"
RAFT_TLS_CERT: "/app/raft-tls/tls.crt"
RAFT_TLS_KEY: "/app/raft-tls/tls.key"
{{- end }}
{{- if .Values.http.tls.existingSecret }}
HTTP_TLS_CERT: "/app/http-tls/tls.crt"
HTTP_TLS_KEY: "/app/http-tls/tls.key"
{{- end }}
{{- with .Values.telemetry.otlpEndpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Environment that differs between members or is secret. */}}
{{- define "inquisitor.identity" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: RAFT_NODE_ID
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "inquisitor.secretName" . }}
      key: api-key
{{- if not .Values.raft.tls.existingSecret }}
- name: CLUSTER_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ include "inquisitor.clusterSecretName" . }}
      key: cluster-secret
{{- end }}
{{- end -}}

{{/* The container's environment: the chart's own, less what the values replace, and the values'. */}}
{{- define "inquisitor.env" -}}
{{- $given := list -}}
{{- range .Values.env }}{{ $given = append $given .name }}{{ end -}}
{{- $env := list -}}
{{- range include "inquisitor.identity" . | fromYamlArray -}}
{{- if not (has .name $given) }}{{ $env = append $env . }}{{ end -}}
{{- end -}}
{{- toYaml (concat $env .Values.env) -}}
{{- end -}}

{{/* A volume from one of the sources that `manifests`, `plugins` and `substrate` share. Call with name, source, own: the
     ConfigMap where nothing else is given. */}}
{{- define "inquisitor.volume" -}}
- name: {{ .name }}
{{- if .source.image }}
  image:
    reference: {{ .source.image }}
    pullPolicy: IfNotPresent
{{- else if .source.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ .source.existingClaim }}
    readOnly: true
{{- else }}
  configMap:
    name: {{ default .own .source.existingConfigMap }}
{{- end }}
{{- end -}}

{{/* Security of every container: the restricted Pod Security Standard, and a root file system that cannot be written. */}}
{{- define "inquisitor.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "inquisitor.podSecurity" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- with .Values.podSecurityContext }}
{{- with .runAsUser }}
runAsUser: {{ . }}
{{- end }}
{{- with .runAsGroup }}
runAsGroup: {{ . }}
{{- end }}
{{- with .fsGroup }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- end }}
{{- end -}}
