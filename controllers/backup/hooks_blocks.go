package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/hooks"
)

// candidate is a pod of which something is done: volumes are taken, or commands
// are run in it.
type candidate struct {
	pod   *corev1.Pod
	takes []taking
	hooks []hooks.Hook

	// claims are the names of all claims that the pod mounts, also of those that are
	// taken through another pod or not at all.
	claims []string
}

// taking is a volume of a candidate that is to be backed up.
type taking struct {
	verdict verdict
	claim   *claim // nil for a volume without one
}

// block is a set of pods that share claims, in the order in which they were read:
// the hooks of all of them are run around the volumes of all of them.
type block []candidate

func (b block) hasHooks() bool {
	return slices.ContainsFunc(b, func(c candidate) bool { return len(c.hooks) > 0 })
}

// nodes are the nodes of the block's volumes, sorted.
func (b block) nodes() []string {
	var nodes []string
	for _, c := range b {
		if len(c.takes) > 0 {
			nodes = append(nodes, c.pod.Spec.NodeName)
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// blocksOf groups pods.
func blocksOf(all []candidate) []block {
	byClaim := map[claimKey]int{} // claim to a pod that has it
	parent := make([]int, len(all))
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for i, c := range all {
		parent[i] = i
		for _, name := range c.claims {
			key := claimKey{c.pod.Namespace, name}
			other, known := byClaim[key]
			if !known {
				byClaim[key] = i
				continue
			}
			a, b := root(i), root(other)
			parent[max(a, b)] = min(a, b) // the first pod names the block
		}
	}
	var blocks []block
	at := map[int]int{} // root to its block
	for i, c := range all {
		r := root(i)
		if r == i {
			at[r] = len(blocks)
			blocks = append(blocks, nil)
		}
		blocks[at[r]] = append(blocks[at[r]], c)
	}
	return blocks
}

// claimsOf are the names of the claims that a pod mounts.
func claimsOf(facts podFacts) []string {
	var names []string
	for _, cl := range facts.claims {
		names = append(names, cl.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// nameOfHooks is the same whenever the block is found, so that collecting twice
// makes no second record, and another one for each backup of a name.
func nameOfHooks(b *velerov1.Backup, first types.UID) string {
	sum := sha256.Sum256([]byte(string(b.UID) + "/" + string(first)))
	const suffix = "-hooks-"
	prefix := b.Name[:min(len(b.Name), maxNameBytes-len(suffix)-volumeNameDigits)]
	return strings.TrimRight(prefix, "-.") + suffix + hex.EncodeToString(sum[:])[:volumeNameDigits]
}

// maxNameBytes is the longest name of an object
// (k8s.io/apimachinery/pkg/util/validation, DNS1123SubdomainMaxLength).
const maxNameBytes = 253

// hookOrigin is where a record comes from.
type hookOrigin struct {
	order   int      // how many records of the backup came before
	volumes []string // names of the block's pod volume backups
}

// newHookRecord is the record of a block's hooks.
func newHookRecord(b *velerov1.Backup, bl block, from hookOrigin) (*corev1.ConfigMap, error) {
	record := hooks.Record{Volumes: from.volumes}
	for _, c := range bl {
		record.Add(hooks.Pod{Namespace: c.pod.Namespace, Name: c.pod.Name, UID: c.pod.UID}, c.hooks)
	}
	return hookrun.New(metav1.ObjectMeta{
		Namespace: b.Namespace,
		Name:      nameOfHooks(b, bl[0].pod.UID),
		Labels: map[string]string{
			velerov1.BackupNameLabel: velerov1.ValidLabelValue(b.Name),
			velerov1.BackupUIDLabel:  string(b.UID),
		},
		Annotations: map[string]string{
			velerov1.HookNodesAnnotation: strings.Join(bl.nodes(), ","),
			velerov1.HookOrderAnnotation: strconv.Itoa(from.order),
		},
		Finalizers: []string{velerov1.HooksFinalizer},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: velerov1.SchemeGroupVersion.String(), Kind: "Backup", Name: b.Name, UID: b.UID,
		}},
	}, record)
}
