package hold

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// group is one volume of the backup: the volume restore that filled it first, and
// those that followed it into other pods. Oldest first, never empty.
type group struct {
	claim types.NamespacedName // zero for a volume of the pod alone
	fills []*velerov1.PodVolumeRestore
	taken bool // it is filled through another pod from now on
}

func (g *group) last() *velerov1.PodVolumeRestore { return g.fills[len(g.fills)-1] }

// owner is the controller of the pod, "" when it had none.
func (g *group) owner() string { return g.last().Annotations[velerov1.PodOwnerAnnotation] }

func (g *group) message() string {
	return cmp.Or(g.last().Status.Message, string(g.last().Status.Phase))
}

// isBusy reports whether somebody may be filling the volume.
func isBusy(g *group) bool {
	return slices.ContainsFunc(g.fills, func(f *velerov1.PodVolumeRestore) bool { return !f.IsFinished() })
}

// podVolume names a volume of a pod.
type podVolume struct {
	pod    types.UID
	volume string
}

// world is the facts, found by what is asked for.
type world struct {
	Facts

	pods        []Pod // by their names
	groups      []*group
	byPod       map[podVolume]*velerov1.PodVolumeRestore
	byClaim     map[types.NamespacedName][]*group
	alive       map[types.UID]bool
	unstarted   map[types.UID]bool // pods that cannot have started: a volume of them is not restored
	takenClaims map[types.NamespacedName]bool

	decision Decision
}

func newWorld(f Facts) *world {
	w := &world{
		Facts:       f,
		byPod:       map[podVolume]*velerov1.PodVolumeRestore{},
		byClaim:     map[types.NamespacedName][]*group{},
		alive:       map[types.UID]bool{},
		unstarted:   map[types.UID]bool{},
		takenClaims: map[types.NamespacedName]bool{},
		decision:    Decision{Tell: map[types.UID][]string{}, Fail: map[types.UID]string{}},
	}
	w.pods = slices.SortedFunc(slices.Values(f.Pods), func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	for _, p := range w.pods {
		w.alive[p.UID] = !p.Gone
	}
	w.addFills()
	return w
}

func (w *world) addFills() {
	sources := map[string]*group{}
	for _, f := range sorted(w.Fills) {
		w.byPod[podVolume{f.Spec.Pod.UID, f.Spec.Volume}] = f
		if f.Status.Phase != velerov1.PodVolumeRestorePhaseCompleted {
			w.unstarted[f.Spec.Pod.UID] = true
		}
		g, ok := sources[Source(f)]
		if !ok {
			g = &group{}
			if claim := f.Annotations[velerov1.PVCNameAnnotation]; claim != "" {
				g.claim = types.NamespacedName{Namespace: f.Spec.Pod.Namespace, Name: claim}
				w.byClaim[g.claim] = append(w.byClaim[g.claim], g)
			}
			sources[Source(f)] = g
			w.groups = append(w.groups, g)
		}
		g.fills = append(g.fills, f)
	}
}

// sorted returns volume restores by their source, oldest first.
func sorted(fills []velerov1.PodVolumeRestore) []*velerov1.PodVolumeRestore {
	all := make([]*velerov1.PodVolumeRestore, len(fills))
	for i := range fills {
		all[i] = &fills[i]
	}
	slices.SortFunc(all, func(a, b *velerov1.PodVolumeRestore) int {
		return cmp.Or(cmp.Compare(Source(a), Source(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// Source names the volume of the backup that a volume restore restores, unique in
// a restore. Those that follow a volume into another pod have the same.
func Source(f *velerov1.PodVolumeRestore) string {
	source := cmp.Or(f.Annotations[velerov1.VolumeSourceAnnotation], f.Spec.Pod.Name+"/"+f.Spec.Volume)
	return f.Spec.Pod.Namespace + "/" + source
}

func (w *world) isAlive(pod types.UID) bool { return w.alive[pod] }

// isFilled reports whether the data of a volume is in place, where a pod has it or
// will have it. A volume of a pod that went away before it started went with it.
func (w *world) isFilled(g *group) bool {
	return !isBusy(g) && slices.ContainsFunc(g.fills, func(f *velerov1.PodVolumeRestore) bool {
		pod := f.Spec.Pod.UID
		return f.Status.Phase == velerov1.PodVolumeRestorePhaseCompleted &&
			(g.claim.Name != "" || w.alive[pod] || !w.unstarted[pod])
	})
}

// isLost reports whether a volume is not filled because its pods are gone.
func (w *world) isLost(g *group) bool {
	return !isBusy(g) && !w.isFilled(g) &&
		!slices.ContainsFunc(g.fills, func(f *velerov1.PodVolumeRestore) bool { return w.alive[f.Spec.Pod.UID] })
}

// lostAt is when the last volume of the pod has ended.
func (w *world) lostAt(g *group) time.Time {
	var at time.Time
	for i := range w.Fills {
		f := &w.Fills[i]
		if end := f.Status.CompletionTimestamp; f.Spec.Pod.UID == g.last().Spec.Pod.UID && end != nil && end.After(at) {
			at = end.Time
		}
	}
	return at
}

// findGroup returns the group of a volume that goes with its pod which a pod takes
// over; nil when there is none. That of a pod of the same name goes first.
func (w *world) findGroup(p *Pod, v Volume, wanted func(*group) bool) *group {
	var found *group
	for _, g := range w.groups {
		if g.claim.Name != "" || !wanted(g) || !Continues(p, v.Name, g.last()) {
			continue
		}
		if g.last().Spec.Pod.Name == p.Name {
			return g
		}
		if found == nil {
			found = g
		}
	}
	return found
}

// Continues reports whether a volume of a pod takes the place of one that went
// with its pod: same controller, same name. The replicas of a StatefulSet hold
// different data, so there the pod has the same name, too.
func Continues(p *Pod, volume string, f *velerov1.PodVolumeRestore) bool {
	owner := f.Annotations[velerov1.PodOwnerAnnotation]
	return owner != "" && owner == p.Owner && f.Spec.Pod.Namespace == p.Namespace && f.Spec.Volume == volume &&
		(!strings.HasPrefix(owner, "StatefulSet/") || f.Spec.Pod.Name == p.Name)
}
