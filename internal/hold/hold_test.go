package hold

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const replicaSet = "ReplicaSet/web"

// want is what one case expects; pods are named, not numbered.
type want struct {
	tell  map[types.UID][]string
	fail  map[types.UID]string // part of the text
	fill  []string             // pod/volume
	look  []string             // claims
	after time.Duration
	until time.Time
}

func TestDecide(t *testing.T) {
	t.Parallel()
	own, other := pod("p", isOwn, waits("data", "claim")), pod("q", waits("data", "claim"))
	scratch, next := pod("p", isOwn, waits("scratch", "")), pod("q", ownedBy(replicaSet), waits("scratch", ""))
	const over = "restore again is over: canceled by ann"
	busy, done := fill("p", "data", onClaim), fill("p", "data", onClaim, ended(velerov1.PodVolumeRestorePhaseCompleted))
	lost := fill("p", "data", onClaim, ended(velerov1.PodVolumeRestorePhaseFailed))
	lostScratch := fill("p", "scratch", ofOwner(replicaSet), ended(velerov1.PodVolumeRestorePhaseFailed))

	tests := map[string]struct {
		pods    []Pod
		fills   []velerov1.PodVolumeRestore
		early   bool // items are not restored
		over    string
		deleted bool
		claims  map[string]bool
		now     time.Duration // since t0
		want    want
	}{
		"a pod whose volume is being filled waits": {pods: pods(own), fills: fills(busy)},
		"a pod sees the marker by itself": {
			pods: pods(own), fills: fills(done), now: time.Second, want: want{after: Notice - time.Second},
		},
		"a pod that does not see it is told": {
			pods: pods(own), fills: fills(done), now: Notice, want: want{tell: tell("p", "data")},
		},
		"of two pods on a claim each removes the marker of the other": {
			pods: pods(own, other), fills: fills(done), want: want{tell: tellBoth("p", "q", "data")},
		},
		"a pod that has started needs no telling":           {pods: pods(with(own, func(p *Pod) { p.Open = true })), fills: fills(done), now: Notice},
		"a pod that was told is not told again":             {pods: pods(with(own, func(p *Pod) { p.Told = []string{"data"} })), fills: fills(done), now: Notice},
		"a pod that goes is not told":                       {pods: pods(with(own, gone)), fills: fills(done), now: Notice},
		"a pod that knows that it failed is not told again": {pods: pods(with(own, func(p *Pod) { p.Failed = true })), fills: fills(lost)},
		"a gate that has passed before passes again": {
			pods: pods(with(own, func(p *Pod) { p.Passed = true })), over: over, deleted: true, want: want{tell: tell("p", "data")},
		},
		"a pod whose volume failed fails, and says why": {
			pods: pods(own), fills: fills(lost), want: want{fail: fail("p", "volume data is not restored: as told; delete the pod and restore again; to start with claim claim as it is")},
		},
		"a pod whose restore is over fails": {pods: pods(own), fills: fills(busy), over: over, want: want{fail: fail("p", over)}},
		"a pod whose restore is over and that is told": {
			pods: pods(own), fills: fills(done), over: "restore again is over (Completed)", now: Notice, want: want{tell: tell("p", "data")},
		},
		"a pod whose restore was deleted fails": {
			pods: pods(own, scratch), over: "the restore was deleted", deleted: true,
			want: want{fail: fail("p", "the restore was deleted")},
		},
		"another pod on the claim waits":         {pods: pods(own, other), fills: fills(busy)},
		"another pod on a claim that failed too": {pods: pods(own, other), fills: fills(lost), want: want{fail: map[types.UID]string{"p": "as told", "q": "as told"}}},
		"another pod takes over a claim whose pod is gone": {
			pods: pods(other), fills: fills(lost), want: want{fill: []string{"q/data"}},
		},
		"…also when the pod is still going": {pods: pods(with(own, gone), other), fills: fills(lost), want: want{fill: []string{"q/data"}}},
		"…but not before its volume restore has ended": {
			pods: pods(with(own, gone), other), fills: fills(busy),
		},
		"…and only one of two": {
			pods: pods(other, pod("r", waits("data", "claim"))), fills: fills(lost), want: want{fill: []string{"q/data"}},
		},
		"…and not one that only reads": {
			pods: pods(with(other, func(p *Pod) { p.Volumes[0].ReadOnly = true })), fills: fills(lost),
		},
		"…and not when the restore is over": {pods: pods(other), fills: fills(lost), over: over, want: want{fail: fail("q", over)}},
		"a claim that is filled through two pods in turn is filled": {
			pods: pods(other), fills: fills(lost, fill("x", "data", onClaim, fromSource("p/data"), ended(velerov1.PodVolumeRestorePhaseCompleted))),
			want: want{tell: tell("q", "data")},
		},
		"a claim that nobody fills yet: the restore may come to it": {pods: pods(other), early: true},
		"a claim that nobody fills: is it the restore's?":           {pods: pods(other), want: want{look: []string{"claim"}}},
		"a claim that nobody fills and that is the restore's": {
			pods: pods(other), claims: map[string]bool{"claim": true}, want: want{fill: []string{"q/data"}},
		},
		"a claim that is not the restore's": {pods: pods(other), claims: map[string]bool{"claim": false}, want: want{tell: tell("q", "data")}},
		"a claim that is not the restore's is not waited for by its own pod either": {
			pods: pods(own), claims: map[string]bool{"claim": false},
		},
		"a claim of a restore that is over and never came to it": {
			pods: pods(other), claims: map[string]bool{"claim": true}, over: over, want: want{fail: fail("q", over)},
		},
		"a pod of the same controller takes over an emptyDir": {pods: pods(next), fills: fills(lostScratch), want: want{fill: []string{"q/scratch"}}},
		"…when the other pod is gone, not while it waits": {
			pods: pods(scratch, next), fills: fills(fill("p", "scratch", ofOwner(replicaSet))), want: want{tell: tell("q", "scratch")},
		},
		"…and when it goes, after its volume restore has ended": {
			pods: pods(with(scratch, gone), next), fills: fills(fill("p", "scratch", ofOwner(replicaSet))),
		},
		"…also one that was filled, if the pod never started": {
			pods:  pods(next),
			fills: fills(fill("p", "scratch", ofOwner(replicaSet), ended(velerov1.PodVolumeRestorePhaseCompleted)), fill("p", "data", onClaim, ended(velerov1.PodVolumeRestorePhaseFailed))),
			want:  want{fill: []string{"q/scratch"}},
		},
		"…but not one of a pod that may have started": {
			pods: pods(next), fills: fills(fill("p", "scratch", ofOwner(replicaSet), ended(velerov1.PodVolumeRestorePhaseCompleted))), want: want{tell: tell("q", "scratch")},
		},
		"each takes over one": {
			pods: pods(next, pod("r", ownedBy(replicaSet), waits("scratch", ""))), fills: fills(lostScratch), want: want{fill: []string{"q/scratch"}, tell: tell("r", "scratch")},
		},
		"a pod of another controller takes over nothing": {
			pods: pods(pod("q", ownedBy("ReplicaSet/other"), waits("scratch", ""))), fills: fills(lostScratch),
			want: want{tell: tell("q", "scratch"), until: t0.Add(FollowTime)},
		},
		"replicas of a StatefulSet take over their own": {
			pods:  pods(pod("db-1", ownedBy("StatefulSet/db"), waits("scratch", "")), with(pod("db-0", ownedBy("StatefulSet/db"), waits("scratch", "")), func(p *Pod) { p.UID = "new" })),
			fills: fills(fill("db-0", "scratch", ofOwner("StatefulSet/db"), ended(velerov1.PodVolumeRestorePhaseFailed))),
			want:  want{fill: []string{"db-0/scratch"}, tell: tell("db-1", "scratch")},
		},
		"a controller is given time to make a pod again": {fills: fills(lostScratch), now: time.Minute, want: want{until: t0.Add(FollowTime)}},
		"…but not for ever":                              {fills: fills(lostScratch), now: FollowTime},
		"nobody makes a bare pod again":                  {fills: fills(lost), now: time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			f := Facts{Now: t0.Add(tc.now), Over: tc.over, Gone: tc.deleted, ItemsRestored: !tc.early, Pods: tc.pods, Fills: tc.fills}
			for claim, ours := range tc.claims {
				f.Claims = map[types.NamespacedName]bool{{Namespace: "shop", Name: claim}: ours}
			}

			got := Decide(f)

			expect(g, got, tc.want)
		})
	}
}

func expect(g *WithT, got Decision, want want) {
	var fills, looks []string
	for _, f := range got.Fill {
		fills = append(fills, f.Pod.Name+"/"+f.Volume.Name)
	}
	for _, claim := range got.Look {
		looks = append(looks, claim.Name)
	}
	g.Expect(fills).To(Equal(want.fill), "fill")
	g.Expect(looks).To(Equal(want.look), "look")
	g.Expect(got.After).To(Equal(want.after))
	g.Expect(got.FollowUntil).To(Equal(want.until))
	g.Expect(got.Tell).To(HaveLen(len(want.tell)), "tell: %v", got.Tell)
	for uid, volumes := range want.tell {
		g.Expect(got.Tell).To(HaveKeyWithValue(uid, volumes))
	}
	g.Expect(got.Fail).To(HaveLen(len(want.fail)), "fail: %v", got.Fail)
	for uid, text := range want.fail {
		g.Expect(got.Fail).To(HaveKeyWithValue(uid, ContainSubstring(text)))
	}
}

func TestPodsOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mod  func(*corev1.Pod)
		want func(*Pod) // nil: it is left out
	}{
		"a gate that runs":           {mod: gate(corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}), want: func(*Pod) {}},
		"a gate that has not begun":  {want: func(*Pod) {}},
		"a gate that has ended well": {mod: gate(corev1.ContainerStatus{State: exited(0)}), want: func(p *Pod) { p.Open = true }},
		"a gate that has failed":     {mod: gate(corev1.ContainerStatus{State: exited(1)}), want: func(*Pod) {}},
		"a gate that runs again": {
			mod:  gate(corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, LastTerminationState: exited(0)}),
			want: func(p *Pod) { p.Passed = true },
		},
		"a gate that runs again after the node was away": {
			mod: func(pod *corev1.Pod) {
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", LastTerminationState: exited(137)}}
			},
			want: func(p *Pod) { p.Passed = true },
		},
		"a pod that runs":            {mod: func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodRunning }, want: func(p *Pod) { p.Open = true }},
		"a pod that goes":            {mod: func(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: t0} }, want: func(p *Pod) { p.Gone = true }},
		"a pod that has ended":       {mod: func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed }, want: func(p *Pod) { p.Gone = true }},
		"the gate of another one":    {mod: func(pod *corev1.Pod) { pod.Spec.InitContainers[0].Args = []string{"other"} }},
		"a label without a gate":     {mod: func(pod *corev1.Pod) { pod.Spec.InitContainers = nil }},
		"a pod of the restore":       {mod: func(pod *corev1.Pod) { pod.Labels = map[string]string{velerov1.RestoreNameLabel: "again"} }, want: func(p *Pod) { p.Own = true }},
		"a pod that was told things": {mod: told, want: func(p *Pod) { p.Failed, p.Told = true, []string{"data"} }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: "web-x1", UID: "web-x1", Annotations: map[string]string{velerov1.RestoreVolumesAnnotation: "data,scratch"},
				OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web", Controller: ptr.To(true)}},
			}}
			p.Spec.InitContainers = []corev1.Container{{Name: injector.GateName, Args: []string{"uid-1"}}}
			p.Spec.Volumes = []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim", ReadOnly: true}}},
				{Name: "scratch"},
			}
			if tc.mod != nil {
				tc.mod(&p)
			}

			got := PodsOf([]corev1.Pod{p}, "uid-1")

			if tc.want == nil {
				g.Expect(got).To(BeEmpty())
				return
			}
			want := pod("web-x1", ownedBy(replicaSet))
			want.Volumes = []Volume{{Name: "data", Claim: "claim", ReadOnly: true}, {Name: "scratch"}}
			tc.want(&want)
			g.Expect(got).To(Equal([]Pod{want}))
		})
	}
}

func exited(code int32) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}
}

func gate(s corev1.ContainerStatus) func(*corev1.Pod) {
	s.Name = injector.GateName
	return func(pod *corev1.Pod) { pod.Status.InitContainerStatuses = []corev1.ContainerStatus{s} }
}

func told(pod *corev1.Pod) {
	pod.Annotations[velerov1.RestoreFailedAnnotation] = "it failed"
	pod.Annotations[velerov1.RestoredVolumesAnnotation] = "data"
}

func pods(all ...Pod) []Pod { return all }

// pod is a pod of namespace shop whose UID is its name.
func pod(name string, mods ...func(*Pod)) Pod {
	return with(Pod{Namespace: "shop", Name: name, UID: types.UID(name)}, mods...)
}

func with(p Pod, mods ...func(*Pod)) Pod {
	p.Volumes = append([]Volume(nil), p.Volumes...)
	for _, mod := range mods {
		mod(&p)
	}
	return p
}

func isOwn(p *Pod) { p.Own = true }

func gone(p *Pod) { p.Gone = true }

func ownedBy(owner string) func(*Pod) { return func(p *Pod) { p.Owner = owner } }

func waits(volume, claim string) func(*Pod) {
	return func(p *Pod) { p.Volumes = append(p.Volumes, Volume{Name: volume, Claim: claim}) }
}

func fills(all ...velerov1.PodVolumeRestore) []velerov1.PodVolumeRestore { return all }

// fill is a volume restore into the volume of a pod whose UID is its name.
func fill(pod, volume string, mods ...func(*velerov1.PodVolumeRestore)) velerov1.PodVolumeRestore {
	f := velerov1.PodVolumeRestore{
		ObjectMeta: metav1.ObjectMeta{Name: pod + "-" + volume, Annotations: map[string]string{}},
		Spec: velerov1.PodVolumeRestoreSpec{
			Pod: corev1.ObjectReference{Namespace: "shop", Name: pod, UID: types.UID(pod)}, Volume: volume,
		},
	}
	for _, mod := range mods {
		mod(&f)
	}
	return f
}

func onClaim(f *velerov1.PodVolumeRestore) { f.Annotations[velerov1.PVCNameAnnotation] = "claim" }

func ofOwner(owner string) func(*velerov1.PodVolumeRestore) {
	return func(f *velerov1.PodVolumeRestore) { f.Annotations[velerov1.PodOwnerAnnotation] = owner }
}

func fromSource(source string) func(*velerov1.PodVolumeRestore) {
	return func(f *velerov1.PodVolumeRestore) { f.Annotations[velerov1.VolumeSourceAnnotation] = source }
}

// ended is at t0.
func ended(phase velerov1.PodVolumeRestorePhase) func(*velerov1.PodVolumeRestore) {
	return func(f *velerov1.PodVolumeRestore) {
		f.Status.Phase, f.Status.CompletionTimestamp = phase, &metav1.Time{Time: t0}
		if phase != velerov1.PodVolumeRestorePhaseCompleted {
			f.Status.Message = "as told"
		}
	}
}

func tell(pod types.UID, volumes ...string) map[types.UID][]string {
	return map[types.UID][]string{pod: volumes}
}

func tellBoth(one, other types.UID, volumes ...string) map[types.UID][]string {
	return map[types.UID][]string{one: volumes, other: volumes}
}

func fail(pod types.UID, text string) map[types.UID]string { return map[types.UID]string{pod: text} }
