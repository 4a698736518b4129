// Package hold decides what becomes of the pods that wait for a restore: which of
// their volumes they need not wait for, which volumes the restore fills through
// them because the pod that it filled first is gone, and which of them wait in
// vain.
//
// It is pure: no client, no clock, no logger. The restore controller fills what it
// says, the gate controller tells the pods; both give it the same facts. Its rows
// are the table "Pods that wait" in docs/restore.md.
package hold

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const (
	// Notice is how long the gate of a pod may take to see the marker in its volume
	// before it is told. A marker is seen within 100 ms, but another pod on the same
	// claim may have removed it.
	Notice = 5 * time.Second

	// FollowTime is how long after a volume has lost its pod a controller may take to
	// make another one. Controllers do it within a second; a StatefulSet waits until
	// the old pod is gone, which takes its grace period.
	FollowTime = 2 * time.Minute
)

// Facts is all that Decide may look at. Nobody changes it after it is complete.
type Facts struct {
	Now time.Time

	// Over says, for people, why the restore fills nothing any more; "" means that it
	// goes on.
	Over string

	// Gone says that the restore was deleted, and its volume restores with it, so that
	// nobody knows what it has filled.
	Gone bool

	// ItemsRestored says that every object of the backup is there, so that what
	// nothing fills now nothing will.
	ItemsRestored bool

	// Pods are all pods with the gate of the restore, also those that have started.
	Pods []Pod

	// Fills are the volume restores of the restore.
	Fills []velerov1.PodVolumeRestore

	// Claims says of a claim whether the restore is to fill it. Decide asks for those
	// that are missing here (Decision.Look).
	Claims map[types.NamespacedName]bool
}

// Decision is what is to be done about the pods that wait.
type Decision struct {
	// Tell has, by the UID of the pod, the volumes that it need not wait for and does
	// not know of.
	Tell map[types.UID][]string

	// Fail says, by the UID of the pod, why its gate will never open. Pods that know
	// are not in it.
	Fail map[types.UID]string

	// Fill are the volumes that are to be filled through a pod that waits.
	Fill []Filling

	// Look are claims of which nobody has said whether the restore is to fill them.
	Look []types.NamespacedName

	// After is when to decide again although nothing has changed; 0 means never.
	After time.Duration

	// FollowUntil is until when a pod may come through which a volume that has lost
	// its pod is filled. The zero time means that none is waited for.
	FollowUntil time.Time
}

// Filling is a volume that is to be filled through a pod.
type Filling struct {
	Pod    Pod
	Volume Volume

	// Fills are the earlier ones of the same volume, oldest first. None means that
	// nobody has begun to fill the claim.
	Fills []velerov1.PodVolumeRestore
}

// Decide decides about all pods of a restore.
func Decide(f Facts) Decision {
	w := newWorld(f)
	for i := range w.pods {
		w.decide(&w.pods[i])
	}
	w.setFollowUntil()
	return w.decision
}

// decide is about one pod. It is told everything that it need not wait for at
// once, or fails.
func (w *world) decide(p *Pod) {
	if p.Gone || p.Open || p.Failed {
		return
	}
	var tell []string
	for _, v := range p.Volumes {
		if slices.Contains(p.Told, v.Name) {
			continue
		}
		switch a := w.answer(p, v); {
		case a.failed != "":
			w.decision.Fail[p.UID] = failure(v, a.failed)
			return
		case a.tell:
			tell = append(tell, v.Name)
		}
	}
	if len(tell) > 0 {
		w.decision.Tell[p.UID] = tell
	}
}

// answer is what is known about one volume of a pod. Neither means: wait.
type answer struct {
	tell   bool
	failed string
}

// answer decides about one volume. Each case is one row of the table.
func (w *world) answer(p *Pod, v Volume) answer {
	own := w.byPod[podVolume{p.UID, v.Name}]
	switch {
	case p.Passed:
		return answer{tell: true}
	case own != nil && own.Status.Phase == velerov1.PodVolumeRestorePhaseCompleted:
		return answer{tell: w.isUnnoticed(p, v, own)}
	case own != nil && own.IsFinished():
		return answer{failed: cmp.Or(own.Status.Message, string(own.Status.Phase))}
	case own != nil:
		return answer{failed: w.Over}
	case w.Gone && (p.Own || v.Claim == ""):
		return answer{failed: w.Over}
	case v.Claim != "" && len(w.byClaim[p.claim(v)]) == 0:
		return w.answerUnfilled(p, v)
	case v.Claim != "":
		return w.answerClaim(p, v)
	default:
		return w.answerOwn(p, v)
	}
}

// isUnnoticed reports whether the pod must be told of a marker: it has not seen it
// in time, or another pod may remove it first.
func (w *world) isUnnoticed(p *Pod, v Volume, fill *velerov1.PodVolumeRestore) bool {
	if w.isShared(p, v) {
		return true
	}
	ended := fill.Status.CompletionTimestamp
	if ended == nil {
		return false
	}
	left := ended.Add(Notice).Sub(w.Now)
	if left > 0 {
		w.lookAgain(left)
	}
	return left <= 0
}

func (w *world) isShared(p *Pod, v Volume) bool {
	return v.Claim != "" && slices.ContainsFunc(w.pods, func(other Pod) bool {
		return other.UID != p.UID && other.Namespace == p.Namespace &&
			slices.ContainsFunc(other.Volumes, func(ov Volume) bool { return ov.Claim == v.Claim })
	})
}

func (w *world) lookAgain(after time.Duration) {
	if w.decision.After == 0 || after < w.decision.After {
		w.decision.After = after
	}
}

// answerUnfilled is about a claim that nobody fills: the restore has not come to
// it, left out the pod that it was backed up with, or has nothing to do with it.
func (w *world) answerUnfilled(p *Pod, v Volume) answer {
	ours, known := w.Claims[p.claim(v)]
	switch {
	case !w.ItemsRestored && w.Over == "":
		return answer{}
	case !known:
		w.decision.Look = append(w.decision.Look, p.claim(v))
		return answer{}
	case !ours && !p.Own:
		return answer{tell: true}
	case w.Over != "":
		return answer{failed: w.Over}
	case !ours:
		return answer{} // its own volume restore comes
	default:
		w.fill(p, v, nil)
		return answer{}
	}
}

// answerClaim is about a claim that is filled, or was, through another pod.
func (w *world) answerClaim(p *Pod, v Volume) answer {
	groups := w.byClaim[p.claim(v)]
	unfilled := slices.IndexFunc(groups, func(g *group) bool { return !w.isFilled(g) })
	switch {
	case unfilled < 0:
		return answer{tell: true}
	case w.Over != "":
		return answer{failed: w.Over}
	case slices.ContainsFunc(groups, isBusy):
		return answer{}
	case w.isLost(groups[unfilled]):
		w.fill(p, v, groups[unfilled])
		return answer{}
	default:
		return answer{failed: groups[unfilled].message()}
	}
}

// answerOwn is about a volume that is the pod's alone, such as an emptyDir: that of
// a pod which is gone is filled through the one that its controller has made
// instead.
func (w *world) answerOwn(p *Pod, v Volume) answer {
	if !w.ItemsRestored && w.Over == "" {
		return answer{}
	}
	lost := w.findGroup(p, v, func(g *group) bool { return w.isLost(g) && !g.taken })
	leaving := w.findGroup(p, v, func(g *group) bool { return isBusy(g) && !w.isAlive(g.last().Spec.Pod.UID) })
	switch {
	case p.Own:
		return answer{failed: w.Over} // its own volume restore comes
	case lost != nil && w.Over != "":
		return answer{failed: w.Over}
	case lost != nil:
		w.fill(p, v, lost)
		return answer{}
	case leaving != nil:
		return answer{failed: w.Over}
	default:
		return answer{tell: true}
	}
}

// fill lets the restore fill a volume through a pod. One that mounts the claim
// read-only cannot take the data; it waits for another.
func (w *world) fill(p *Pod, v Volume, g *group) {
	if v.ReadOnly || g != nil && g.taken || g == nil && w.takenClaims[p.claim(v)] {
		return
	}
	filling := Filling{Pod: *p, Volume: v}
	if g != nil {
		g.taken = true
		for _, f := range g.fills {
			filling.Fills = append(filling.Fills, *f)
		}
	} else {
		w.takenClaims[p.claim(v)] = true
	}
	w.decision.Fill = append(w.decision.Fill, filling)
}

// setFollowUntil says how long it makes sense to wait for pods that take over what
// others have lost. Only controllers make pods again.
func (w *world) setFollowUntil() {
	if w.Over != "" {
		return
	}
	for _, g := range w.groups {
		if g.taken || g.owner() == "" || !w.isLost(g) {
			continue
		}
		if until := w.lostAt(g).Add(FollowTime); until.After(w.decision.FollowUntil) {
			w.decision.FollowUntil = until
		}
	}
	if !w.decision.FollowUntil.After(w.Now) {
		w.decision.FollowUntil = time.Time{}
	}
}

// failure is the text that the pod ends with.
func failure(v Volume, why string) string {
	if v.Claim == "" {
		return "volume " + v.Name + " is not restored: " + why + "; delete the pod and restore again; a pod that no restore makes starts without the data"
	}
	return "volume " + v.Name + " is not restored: " + why + "; delete the pod and restore again; to start with claim " + v.Claim +
		" as it is, take the label " + velerov1.RestoreIncompleteLabel + " off it and delete the pod"
}
