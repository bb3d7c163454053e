#!/bin/bash
# The first process of a guest: mounts, modules, one scenario, power off. Everything it needs comes
# from the folder that host.py wrote: "job" next to the results.
set -u
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root PYTHONDONTWRITEBYTECODE=1

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
# Not over /tmp: the project may live there.
mkdir -p /dev/shm /run/netns /run/tmp
export TMPDIR=/run/tmp

# The kernel passes what it does not know ("lab_job=/folder") to init's environment.
job=${lab_job:?the folder of the job}
cd "$job" || { echo o >/proc/sysrq-trigger; sleep 10; }
exec >guest.log 2>&1 </dev/null

# The modules stay where the package has them; the kernel's own requests go the same way.
version=$(uname -r)
tree=/run/modules
mkdir -p "$tree/lib/modules"
ln -s "/usr/lib/uml/modules/$version" "$tree/lib/modules/$version"
printf '#!/bin/bash\nexec /sbin/modprobe -d %s "$@"\n' "$tree" >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
for module in esp4 esp6 ah4 ah6 xfrm_user xfrm_algo gcm seqiv echainiv ctr cbc aes_generic hmac \
  sha256_generic authenc authencesn veth bridge macvlan dummy sch_netem ip_vti ip6_vti sctp; do
  /run/modprobe -q "$module" || echo "no module $module"
done

ip link set lo up
# shellcheck source=/dev/null
. ./environment
export LAB_BIN
python3 "${LAB_ROOT:?}/lab/guest.py" "${LAB_SCENARIO:?}" "$job"
echo $? >status
sync
echo o >/proc/sysrq-trigger
sleep 10
