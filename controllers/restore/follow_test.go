package restore

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/internal/gateconfig"
	"github.com/podkeep/podkeep/internal/hold"
)

func TestFollowStep(t *testing.T) {
	t.Parallel()
	ready := []hold.Filling{{Pod: hold.Pod{Namespace: "shop", Name: "web-2"}, Volume: hold.Volume{Name: "data"}}}
	lost := volume("web-1", "data", phase(velerov1.PodVolumeRestorePhaseFailed))
	moving := volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseInProgress), onNode("n1"))
	tests := map[string]struct {
		following following
		volumes   []velerov1.PodVolumeRestore
		now       time.Time
		want      action
		wantAfter time.Duration
	}{
		"fills through the pod that takes over":        {following: following{ready: ready}, volumes: backupVolumes(lost), want: actFollow},
		"…while other volumes move":                    {following: following{ready: ready}, volumes: backupVolumes(lost, moving), want: actFollow},
		"…but not after the deadline":                  {following: following{ready: ready}, volumes: backupVolumes(lost), now: t0.Add(4 * time.Hour), want: actFinish},
		"waits for the mover of the lost pod":          {following: following{busy: 1}, volumes: backupVolumes(lost), want: actNothing, wantAfter: moverInterval},
		"waits for a controller to make another":       {following: following{until: t0.Add(time.Minute)}, volumes: backupVolumes(lost), want: actNothing, wantAfter: time.Minute},
		"…but not for ever":                            {following: following{until: t0}, volumes: backupVolumes(lost), want: actFinish},
		"without pods that take over the restore ends": {volumes: backupVolumes(lost), want: actFinish},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			o := observed{
				restore: restore(itemsRestored), backup: &velerov1.Backup{}, volumes: tc.volumes, following: tc.following, now: tc.now,
				volumeTimeout: 4 * time.Hour, storageTimeout: 10 * time.Minute,
			}
			if tc.now.IsZero() {
				o.now = t0
			}

			s := plan(o)

			g.Expect(s.action).To(Equal(tc.want))
			g.Expect(s.after).To(Equal(tc.wantAfter))
		})
	}
}

func TestFillsOfClaims(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	begun := func(v *velerov1.PodVolumeRestore) { v.Status.StartTimestamp = &metav1.Time{Time: t0} }
	lost := volume("web-1", "data", phase(velerov1.PodVolumeRestorePhaseFailed), ofClaim("followed"), fromSource("web-1/data"), begun)
	followed := volume("web-2", "data", phase(velerov1.PodVolumeRestorePhaseCompleted), ofClaim("followed"), fromSource("web-1/data"), begun)
	failed := volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseFailed), ofClaim("failed"))
	scratch := volume("db-0", "scratch", phase(velerov1.PodVolumeRestorePhaseCompleted))

	got := fillsOfClaims([]velerov1.PodVolumeRestore{lost, followed, failed, scratch})

	g.Expect(got).To(HaveLen(2))
	g.Expect(got[client.ObjectKey{Namespace: "shop", Name: "followed"}]).To(Equal(claimFills{begun: true, filled: true}))
	g.Expect(got[client.ObjectKey{Namespace: "shop", Name: "failed"}]).To(Equal(claimFills{}))
}

func backupVolumes(all ...velerov1.PodVolumeRestore) []velerov1.PodVolumeRestore { return all }

const followArchive = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: a}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  namespace: a
  labels: {app: web}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: "1", controller: true}]
spec:
  containers: [{name: app, image: x, volumeMounts: [{name: data, mountPath: /data}, {name: scratch, mountPath: /scratch}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}, {name: scratch, emptyDir: {}}]
---
apiVersion: velero.io/v1
kind: PodVolumeBackup
metadata: {name: follow-data, namespace: velero, annotations: {velero.io/pvc-name: data}}
spec: {pod: {kind: Pod, namespace: a, name: web-1}, volume: data, uploaderType: kopia, backupStorageLocation: default, node: node1, repoIdentifier: ""}
status: {phase: Completed, snapshotID: "0123"}
---
apiVersion: velero.io/v1
kind: PodVolumeBackup
metadata: {name: follow-scratch, namespace: velero}
spec: {pod: {kind: Pod, namespace: a, name: web-1}, volume: scratch, uploaderType: kopia, backupStorageLocation: default, node: node1, repoIdentifier: ""}
status: {phase: Completed, snapshotID: "0124"}
`

// testFollow has the pod of a restore replaced by one of another name: both volumes
// are filled through it, and the first tries are no errors.
func testFollow(t *testing.T, w *world) {
	t.Helper()
	w.backup(t, "follow", followArchive)
	r := w.run(t, "follow", "follow", into("follow"))
	first := w.fills(t, r)
	w.Expect(first).To(HaveLen(2))
	w.Expect(first[0].Annotations).To(HaveKeyWithValue(velerov1.PodOwnerAnnotation, "ReplicaSet/web"))
	w.Expect(w.client.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "follow", Name: "web-1"}}, client.GracePeriodSeconds(0))).To(Succeed())
	for n := range first {
		w.agentEnds(t, &first[n], velerov1.PodVolumeRestorePhaseFailed)
	}
	w.reconcile(t, r)
	w.Expect(r).To(haveCondition(velerov1.ConditionVolumesMoved, velerov1.ReasonWaitingForPod), "%+v", r.Status)
	config, _ := gateconfig.Parse(nil, "example.com/podkeep:1")
	pod, _ := injector.Gate(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "follow", Name: "web-2", OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "2", Controller: ptr.To(true)},
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "x"}}, Volumes: []corev1.Volume{
			{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}, {Name: "scratch"},
		}},
	}, injector.GateRequest{RestoreUID: r.UID, Volumes: []string{"data", "scratch"}, Config: config, Installation: "velero"})
	w.Expect(w.plain.Create(t.Context(), pod)).To(Succeed())

	w.reconcile(t, r)

	fills := w.fills(t, r)
	w.Expect(fills).To(HaveLen(4))
	var sources []string
	for n := range fills {
		if fills[n].Spec.Pod.UID == pod.UID {
			sources = append(sources, hold.Source(&fills[n])+" "+fills[n].Spec.SnapshotID)
			w.agentEnds(t, &fills[n], velerov1.PodVolumeRestorePhaseCompleted)
		}
	}
	w.Expect(sources).To(ConsistOf("follow/web-1/data 0123", "follow/web-1/scratch 0124"))
	w.reconcile(t, r)
	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "follow"))
	claim := &corev1.PersistentVolumeClaim{}
	w.get(t, claim, "follow", "data")
	w.Expect(claim.Labels).NotTo(HaveKey(velerov1.RestoreIncompleteLabel))
}

// agentEnds does what a node agent does at the end of a volume.
func (w *world) agentEnds(t *testing.T, v *velerov1.PodVolumeRestore, phase velerov1.PodVolumeRestorePhase) {
	t.Helper()
	before := v.DeepCopy()
	v.Status.Phase, v.Status.Node = phase, "node1"
	v.Status.CompletionTimestamp = &metav1.Time{Time: w.reconciler.Clock.Now()}
	w.Expect(w.client.Patch(t.Context(), v, client.MergeFrom(before))).To(Succeed())
}
