#!/bin/sh
# Counts the calls of CPUs that have never run the process, for each operation, as KTAP. As root.
# Exit status: 0 if every test passed, 1 if one did not, 4 if all were skipped.
cd "$(dirname "$0")" || exit 3

# collapse and unshare send a sync to every CPU (tlb_remove_table_sync_one), so mainline exceeds a bound of 0 there.
bound=${BOUND:-0} ops=${OPS:-20} siblings=${SIBLINGS:-0}

if [ "$(id -u)" = 0 ]; then
    mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
    mountpoint -q /dev/hugepages || { mkdir -p /dev/hugepages && mount -t hugetlbfs -o pagesize=2M hugetlbfs /dev/hugepages; }
    pages=/proc/sys/vm/nr_hugepages
    before=$(cat "$pages" 2>/dev/null || echo 0)
    if [ "$before" -lt 16 ]; then
        echo 16 >"$pages"
        trap 'echo "$before" >"$pages"' EXIT
    fi
fi

echo "KTAP version 1"
echo "1..4"
number=0 failed=0 skipped=0
for operation in collapse unshare unmap protect; do
    number=$((number + 1))
    ./gupsync-guest --operation "$operation" --ops "$ops" --siblings "$siblings" --bound "$bound" | sed 's/^/  /' >"/tmp/gupsync.$$"
    grep '^  ' "/tmp/gupsync.$$"
    if grep -q '# SKIP' "/tmp/gupsync.$$"; then
        skipped=$((skipped + 1))
        echo "ok $number $operation # SKIP"
    elif grep -q '^  ok ' "/tmp/gupsync.$$"; then
        echo "ok $number $operation"
    else
        failed=1
        echo "not ok $number $operation"
    fi
    rm -f "/tmp/gupsync.$$"
done
[ "$skipped" = 4 ] && exit 4
exit $failed
