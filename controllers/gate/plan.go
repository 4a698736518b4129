// Package gate tells the pods that wait for a restore what their gates cannot see:
// that a volume was filled through another pod, that there is nothing to fill, or
// that the data will never come.
//
// One reconcile is about all pods of one restore: observe → plan → act. plan is
// pure; what it decides about volumes is internal/hold, whose rows are in
// docs/restore.md. It fills nothing itself (controllers/restore does) and opens no
// gate (restore-wait does): it writes annotations, which the kubelet shows to the
// gate as files. A restore whose pods see all their markers costs no request.
package gate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hold"
)

// observed is all that plan may look at. observe fills it, nobody changes it after.
type observed struct {
	now time.Time

	// restore is the one that the pods wait for, nil when it does not exist any more.
	restore *velerov1.Restore

	pods   []hold.Pod
	fills  []velerov1.PodVolumeRestore
	claims map[types.NamespacedName]bool // that the restore is to fill; missing: not looked at
}

// notice is what one pod is told.
type notice struct {
	pod      hold.Pod
	restored []string // all volumes that it need not wait for, sorted; nil: as before
	failed   string   // why its gate never opens; "" says nothing
}

// step is what is to be done about the pods of a restore.
type step struct {
	notices []notice
	look    []types.NamespacedName // claims to look at before anything is certain
	after   time.Duration          // look again after; 0 means when a watched object changes
}

// plan decides what the pods of a restore are told.
func plan(o observed) step {
	d := hold.Decide(factsOf(o))
	s := step{look: d.Look, after: d.After}
	for _, p := range o.pods {
		n := notice{pod: p, failed: d.Fail[p.UID]}
		if tell := d.Tell[p.UID]; len(tell) > 0 {
			n.restored = slices.Compact(slices.Sorted(slices.Values(slices.Concat(p.Told, tell))))
		}
		if n.failed != "" || n.restored != nil {
			s.notices = append(s.notices, n)
		}
	}
	return s
}

func factsOf(o observed) hold.Facts {
	f := hold.Facts{Now: o.now, Pods: o.pods, Fills: o.fills, Claims: o.claims, Gone: o.restore == nil, Over: overReason(o.restore)}
	if o.restore != nil {
		f.ItemsRestored = areItemsRestored(o.restore)
	}
	return f
}

// overReason says why a restore fills nothing any more, "" while it goes on.
func overReason(r *velerov1.Restore) string {
	switch {
	case r == nil:
		return "the restore was deleted"
	case !r.IsFinished():
		return ""
	case r.Status.FailureReason != "":
		return fmt.Sprintf("restore %s is over: %s", r.Name, strings.Join(strings.Fields(r.Status.FailureReason), " "))
	default:
		return fmt.Sprintf("restore %s is over (%s)", r.Name, r.Status.Phase)
	}
}

func areItemsRestored(r *velerov1.Restore) bool {
	return slices.ContainsFunc(r.Status.Conditions, isItemsRestored)
}
