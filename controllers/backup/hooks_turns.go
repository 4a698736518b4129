package backup

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// maxRunningBlocks is how many blocks may be between their first pre hook and their
// last post hook. It is half of hookWorkers, so that a post hook never waits for the
// pre hooks of others.
const maxRunningBlocks = hookWorkers / 2

// hookBlock is what is known of a record without reading it.
type hookBlock struct {
	name    string
	backup  types.UID
	phase   string
	created time.Time
	order   int // among those of its backup
	nodes   []string
}

func hookBlockOf(o *metav1.PartialObjectMetadata) hookBlock {
	b := hookBlock{
		name: o.Name, phase: o.Labels[velerov1.HooksLabel], created: o.CreationTimestamp.Time,
		backup: types.UID(o.Labels[velerov1.BackupUIDLabel]),
	}
	if n, err := strconv.Atoi(o.Annotations[velerov1.HookOrderAnnotation]); err == nil {
		b.order = n
	}
	if nodes := o.Annotations[velerov1.HookNodesAnnotation]; nodes != "" {
		b.nodes = strings.Split(nodes, ",")
	}
	return b
}

// hookFacts are what plan may know of hooks. The zero value is a backup without
// any.
type hookFacts struct {
	// blocks are those of all backups, with the ended ones of this backup.
	blocks []hookBlock

	// busy are the nodes on which volumes move or wait that were there before the
	// blocks of this backup could begin.
	busy map[string]bool
}

// pendingHooks returns how many blocks of a backup have hooks left to run.
func pendingHooks(o observed) int {
	n := 0
	for _, b := range o.hooks.blocks {
		if b.backup == o.backup.UID && b.phase != velerov1.HooksEnded {
			n++
		}
	}
	return n
}

// hookTurns returns the blocks of this backup that may begin now. A pod may be
// frozen from its pre hooks to its post hooks, so its volumes must not wait in
// between: a block begins when no other volume waits on its nodes, and when it is
// the first of all that wait for one of them. That the first is the oldest makes
// two backups that decide at the same time decide alike.
func hookTurns(o observed) []string {
	taken := map[string]bool{}
	running := 0
	var waiting []hookBlock
	for _, b := range o.hooks.blocks {
		switch b.phase {
		case velerov1.HooksWaiting:
			waiting = append(waiting, b)
		case velerov1.HooksRunning:
			running++
			for _, n := range b.nodes {
				taken[n] = true
			}
		}
	}
	slices.SortFunc(waiting, func(a, b hookBlock) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.order, b.order), cmp.Compare(a.name, b.name))
	})
	var turns []string
	for _, b := range waiting {
		free := running < maxRunningBlocks
		for _, n := range b.nodes {
			free = free && !taken[n] && !o.hooks.busy[n]
			taken[n] = true
		}
		if free && b.backup == o.backup.UID {
			turns = append(turns, b.name)
		}
		if free {
			running++
		}
	}
	return turns
}

// hooksPollInterval is how often a backup asks whether a block may begin: what it
// waits for may be volumes of others, which do not wake it.
const hooksPollInterval = 2 * time.Second

// hooksStep is what a backup does beside waiting for its volumes: it gives blocks
// their turn.
func hooksStep(o observed, waiting step) step {
	pending := pendingHooks(o)
	if pending == 0 {
		return waiting
	}
	waiting.message = fmt.Sprintf("waiting for the hooks of %d groups of pods", pending)
	if len(unfinished(o.volumes)) == 0 {
		waiting.reason = velerov1.ReasonWaitingForHooks
	}
	if len(hookTurns(o)) > 0 {
		waiting.action = actStartHooks
	}
	if slices.ContainsFunc(o.hooks.blocks, func(b hookBlock) bool { return b.backup == o.backup.UID && b.phase == velerov1.HooksWaiting }) {
		waiting.after = min(waiting.after, hooksPollInterval)
	}
	return waiting
}

// busyNodes are the nodes with volumes of file system backup that are not finished
// and not held. Volumes that came after since are left out: who is there first goes
// first, or a block could wait for ever.
func busyNodes(volumes []velerov1.PodVolumeBackup, since time.Time) map[string]bool {
	busy := map[string]bool{}
	for i := range volumes {
		v := &volumes[i]
		if v.IsFinished() || v.Annotations[velerov1.HookRecordAnnotation] != "" || v.CreationTimestamp.Time.After(since) {
			continue
		}
		busy[v.Spec.Node] = true
	}
	return busy
}

// collectedAt is when the last of a backup's volumes was created at the latest.
func collectedAt(b *velerov1.Backup) time.Time {
	if c := meta.FindStatusCondition(b.Status.Conditions, velerov1.ConditionItemsCollected); c != nil {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}
