#!/usr/bin/env bash
# Backs up a sample application on the cluster that make cluster-up started,
# deletes it, restores it, and shows that the data is equal.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m[%3ds] %s\033[0m\n' "$SECONDS" "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

KUBECONFIG=$(cd tests/cluster && go run ./cmd/cluster kubeconfig)
export KUBECONFIG
PATH=$PWD/build/linux-$(go env GOARCH):$(cd tests/cluster && go run ./cmd/cluster assets):$PATH
ns=demo
backup=demo-$(date -u +%Y%m%d%H%M%S)

checksums() {
  kubectl -n "$ns" exec deploy/guestbook -- sh -c 'cd /data && find . -type f | sort | xargs sha256sum'
}

say "starting a guestbook with files in a volume (hack/demo.yaml)"
kubectl delete namespace "$ns" --ignore-not-found --wait
run kubectl apply -f hack/demo.yaml
kubectl -n "$ns" rollout status deploy/guestbook --timeout 120s
kubectl -n "$ns" exec deploy/guestbook -- sh -c '
  cd /data; mkdir -p photos
  echo "Hello, podkeep" >guests.txt
  for i in 1 2 3; do head -c 2000000 /dev/urandom >photos/$i.jpg; done'
before=$(checksums)

say "backing it up"
run podkeep backup create "$backup" --include-namespaces "$ns" --wait

say "deleting the namespace, with its volume"
run kubectl delete namespace "$ns" --wait

say "restoring it"
run podkeep restore create "$backup" --from-backup "$backup" --wait
kubectl -n "$ns" rollout status deploy/guestbook --timeout 120s
after=$(checksums)

say "the files, before and after"
paste <(printf '%s\n' "$before" | awk '{print substr($1, 1, 16), $2}') <(printf '%s\n' "$after" | awk '{print substr($1, 1, 16), $2}') |
  awk 'BEGIN {printf "%-18s %-18s %s\n", "original", "restored", "file"} {printf "%-18s %-18s %s\n", $1, $3, $2}'
if [[ $before != "$after" ]]; then
  echo "the data differs" >&2
  exit 1
fi
echo "equal"

cat <<END

Try next:
  export KUBECONFIG=$KUBECONFIG PATH=$PWD/build/linux-$(go env GOARCH):\$PATH
  podkeep backup describe $backup --details
  podkeep restore describe $backup --details
  podkeep restore create --from-backup $backup --namespace-mappings $ns:$ns-copy --wait
  make cluster-down
END
