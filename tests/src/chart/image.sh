# The image as a root file system; what stands between @ is filled in. Mounts of the pod and its command follow.
mount --make-rprivate /
mount -t tmpfs -o mode=755,size=16m,nosuid,nodev tmpfs @ROOT@
cd @ROOT@
mkdir -p usr etc proc sys dev tmp run var mnt root
ln -s usr/bin bin
ln -s usr/sbin sbin
ln -s usr/lib lib
ln -s usr/lib64 lib64
ln -s /run var/run
chmod 1777 tmp
mkdir -p @FOLDERS@
chown 10001:10001 @FOLDERS@

# Programs and libraries of the distribution, and what the image adds to them.
mount --bind /usr usr
mount -o remount,bind,ro,nosuid,nodev usr
mount -t tmpfs -o mode=755,size=1m,nosuid,nodev tmpfs usr/local
mkdir -p usr/local/bin usr/local/sbin usr/local/lib/inquisitor/plugins
: > usr/local/bin/inquisitor
mount --bind @BINARY@ usr/local/bin/inquisitor
mount --bind @PLUGINS@ usr/local/lib/inquisitor/plugins
mount -o remount,bind,ro,nosuid,nodev usr/local/bin/inquisitor
mount -o remount,bind,ro,nosuid,nodev usr/local/lib/inquisitor/plugins
mount -o remount,ro usr/local

cp -r @ETC@/. etc
for name in ssl alternatives; do
    mkdir etc/$name
    mount --bind /etc/$name etc/$name
    mount -o remount,bind,ro,nosuid,nodev etc/$name
done
cp /etc/ld.so.cache etc

mount -t proc -o nosuid,nodev,noexec proc proc
echo @HOSTNAME@ > proc/sys/kernel/hostname
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t tmpfs -o mode=755,size=64k,nosuid,noexec tmpfs dev
for name in null zero full random urandom tty; do
    : > dev/$name
    mount --bind /dev/$name dev/$name
done
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mkdir dev/shm
mount -t tmpfs -o mode=1777,size=64m,nosuid,nodev,noexec tmpfs dev/shm
