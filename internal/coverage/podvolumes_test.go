package coverage

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
)

// ofVolume makes the backup one of a volume without a claim.
func ofVolume(volume, identity string) backupMod {
	return func(_ *velerov1.Backup, v *velerov1.PodVolumeBackup) {
		delete(v.Labels, velerov1.PVCUIDLabel)
		v.Spec.Volume = volume
		if identity != "" {
			v.Annotations = map[string]string{velerov1.VolumeIdentityAnnotation: identity}
		}
	}
}

func ofPod(uid types.UID) backupMod {
	return func(_ *velerov1.Backup, v *velerov1.PodVolumeBackup) { v.Spec.Pod.UID = uid }
}

func ownedBy(kind, name string) podMod {
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name, Controller: ptr.To(true)}}
		p.Labels = map[string]string{podTemplateHash: "5d4f"}
	}
}

func young(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour)) }

func TestVolumesOfPods(t *testing.T) {
	t.Parallel()
	protected := brief{Protected, ReasonFileSystemBackup, ""}
	listed := func(name string) podMod { return annotated(velerov1.VolumesToBackupAnnotation, name) }
	tests := map[string]struct {
		cluster *cluster
		want    []brief
	}{
		"scratch data that nobody asks for": {newCluster().pod("web", with(emptyDir)).schedule("nightly", optIn), []brief{{Excluded, ReasonEphemeralVolume, ByDefault}}},
		"scratch data in a namespace without schedules": {
			newCluster().serverDefault().pod("web", with(emptyDir)), []brief{{Excluded, ReasonEphemeralVolume, ByDefault}},
		},
		"scratch data that a paused schedule takes with everything else": {
			newCluster().pod("web", with(emptyDir)).schedule("nightly", paused), []brief{{Excluded, ReasonEphemeralVolume, ByDefault}},
		},
		"scratch data that its pod asks for, without a schedule": {
			newCluster().pod("web", with(emptyDir), listed("cache")), []brief{{Unprotected, ReasonNoSchedule, ""}},
		},
		"scratch data that its pod asks for": {
			newCluster().pod("web", with(emptyDir), listed("cache")).schedule("nightly", optIn).backup("b", ofVolume("cache", "Pod/web/cache")), []brief{protected},
		},
		"scratch data that a schedule takes with everything else is judged as what it is": {
			newCluster().pod("web", with(emptyDir)).schedule("nightly"), []brief{{Unprotected, ReasonNeverBackedUp, ""}},
		},
		"scratch data that its namespace asks for, under a paused schedule": {
			newCluster().namespace(velerov1.FSBackupOptOut).pod("web", with(emptyDir)).schedule("nightly", paused), []brief{{Unprotected, ReasonSchedulePaused, ""}},
		},
		"scratch data of a pod that has not begun": {
			newCluster().pod("web", with(emptyDir), listed("cache"), inPhase(corev1.PodPending)).schedule("nightly"), []brief{{Pending, ReasonPodNotStarted, ""}},
		},
		"scratch data of a pod that has ended is gone": {newCluster().pod("job", with(emptyDir), inPhase(corev1.PodSucceeded)).schedule("nightly"), nil},
		"scratch data of a pod that goes is going": {
			newCluster().pod("web", with(emptyDir), func(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(metav1.NewTime(now)) }).schedule("nightly"), nil,
		},
		"a volume of a Deployment continues the one of the pod before": {
			newCluster().pod("web-5d4f-xyz", with(emptyDir), young, ownedBy("ReplicaSet", "web-5d4f")).schedule("nightly").
				backup("b", ofVolume("cache", "Deployment/web/cache"), ofPod("gone")),
			[]brief{protected},
		},
		"a volume of a Deployment whose earlier pod was last backed up long ago is not new": {
			newCluster().pod("web-5d4f-xyz", with(emptyDir), young, ownedBy("ReplicaSet", "web-5d4f")).schedule("nightly").
				backup("b", ofVolume("cache", "Deployment/web/cache"), ofPod("gone"), begunAt(lastWeek.Add(time.Hour))),
			[]brief{{Unprotected, ReasonStale, ""}},
		},
		"a volume of a ReplicaSet that no Deployment owns": {
			newCluster().pod("rs-x", with(emptyDir), ownedBy("ReplicaSet", "rs")).schedule("nightly").backup("b", ofVolume("cache", "ReplicaSet/rs/cache"), ofPod("gone")),
			[]brief{protected},
		},
		"a volume of a CronJob": {
			newCluster().pod("job-x", with(emptyDir), ownedBy("Job", "report-29000123")).schedule("nightly").backup("b", ofVolume("cache", "CronJob/report/cache"), ofPod("gone")),
			[]brief{protected},
		},
		"a volume of a Job of its own": {
			newCluster().pod("job-x", with(emptyDir), ownedBy("Job", "import-2")).schedule("nightly").backup("b", ofVolume("cache", "Job/import-2/cache"), ofPod("gone")),
			[]brief{protected},
		},
		"a volume of a StatefulSet's pod": {
			newCluster().pod("db-0", with(emptyDir), ownedBy("StatefulSet", "db")).schedule("nightly").backup("b", ofVolume("cache", "Pod/db-0/cache"), ofPod("gone")),
			[]brief{protected},
		},
		"a backup of Velero's knows the pod only": {
			newCluster().pod("web", with(emptyDir)).schedule("nightly").backup("b", ofVolume("cache", "")), []brief{protected},
		},
		"of two replicas the one whose backup failed": {
			newCluster().schedule("nightly").
				pod("web-a", with(emptyDir), ownedBy("ReplicaSet", "web-5d4f")).pod("web-b", with(emptyDir), ownedBy("ReplicaSet", "web-5d4f")).
				backup("b", ofVolume("cache", "Deployment/web/cache"), ofPod("uid-web-a")).
				volumeBackup("b", ofVolume("cache", "Deployment/web/cache"), ofPod("uid-web-b"), volumeFailed),
			[]brief{protected, {Unprotected, ReasonLastBackupFailed, ""}},
		},
		"a directory of the node that nobody asks for": {newCluster().pod("web", with(nodeDir)).schedule("nightly"), []brief{{Excluded, ReasonNodeDirectory, ByDefault}}},
		"a directory of the node that its pod asks for": {
			newCluster().pod("web", with(nodeDir), listed("logs")).schedule("nightly"), []brief{{Unprotected, "HostPathUnsupported", ""}},
		},
		"a directory of the node in a namespace where everything is taken": {
			newCluster().namespace(velerov1.FSBackupOptOut).pod("web", with(nodeDir)), []brief{{Unprotected, "HostPathUnsupported", ""}},
		},
		"a directory of the node that its pod excludes": {
			newCluster().namespace(velerov1.FSBackupOptOut).pod("web", with(nodeDir), annotated(velerov1.VolumesToExcludeAnnotation, "logs")),
			[]brief{{Excluded, "ExcludedByPod", ByPod}},
		},
		"a share is data that lasts": {newCluster().pod("web", with(nfs)).schedule("nightly", optIn), []brief{{Unprotected, ReasonNotSelected, ""}}},
		"a share that a policy takes": {
			newCluster().policy(resourcepolicy.ActionFSBackup).pod("web", with(nfs)).schedule("nightly", optIn, template(named)).backup("b", ofVolume("share", "Pod/web/share")),
			[]brief{protected},
		},
		"volumes that Kubernetes fills are no rows": {
			newCluster().schedule("nightly").pod("web", with(corev1.Volume{Name: "c", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}})), nil,
		},
		"volumes that nobody mounts are no rows": {
			newCluster().schedule("nightly").pod("web", func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{emptyDir} }), nil,
		},
		"a generic ephemeral volume is a claim that ends with its pod": {
			newCluster().schedule("nightly", optIn).claim("web-tmp", func(c *corev1.PersistentVolumeClaim) {
				c.OwnerReferences = []metav1.OwnerReference{{Kind: "Pod", Name: "web", Controller: ptr.To(true)}}
			}).pod("web", with(corev1.Volume{Name: "tmp", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}})),
			[]brief{{Excluded, ReasonEphemeralVolume, ByDefault}},
		},
		"a claim and a volume of one pod": {
			app().backup("b").pod("other", with(emptyDir), mounting("data")).schedule("x", optIn, template(func(s *velerov1.BackupSpec) { s.IncludedNamespaces = []string{"x"} })),
			[]brief{protected, {Unprotected, ReasonNeverBackedUp, ""}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []brief
			for _, r := range rowsOf(tc.cluster.facts) {
				got = append(got, briefOf(r))
			}
			NewWithT(t).Expect(got).To(Equal(tc.want))
		})
	}
}

// volumeBackup adds one more volume to a backup.
func (c *cluster) volumeBackup(name string, mods ...backupMod) *cluster {
	c.backup(name, mods...)
	c.facts.Backups = c.facts.Backups[:len(c.facts.Backups)-1]
	c.facts.PodVolumeBackups[len(c.facts.PodVolumeBackups)-1].Name = name + "-2"
	return c
}

func TestRowSaysAllThatIsKnown(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := app().schedule("hourly", at("@hourly")).backup("b", begunAt(now.Add(-10*time.Minute))).
		backup("hand", manual, begunAt(now.Add(-time.Minute)), func(b *velerov1.Backup, _ *velerov1.PodVolumeBackup) { b.Status.Phase = velerov1.BackupPhaseInProgress })

	rows := rowsOf(c.facts)

	g.Expect(rows).To(ConsistOf(Row{
		Namespace: "shop", Claim: "data", Pod: "web", Volume: "data", Type: "persistentVolumeClaim", StorageClass: "fast", Capacity: "1Gi",
		Verdict: Protected, Reason: ReasonFileSystemBackup, Method: FileSystemBackup,
		Schedules: []string{"hourly", "nightly"}, NextRun: ptr.To(now),
		LastSuccess: &Success{Backup: "b", Schedule: "nightly", At: now.Add(-10 * time.Minute), Bytes: 1000},
		LastAttempt: &Attempt{Backup: "hand", At: now.Add(-time.Minute), Result: InProgress},
	}))
	g.Expect(Summarize(rows).String()).To(Equal("1 volume: 1 protected, 0 pending, 0 excluded, 0 unprotected"))
}

func TestMoverPodsAreNoVolumesOfTheCluster(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	mover := func(p *corev1.Pod) {
		p.Labels = map[string]string{velerov1.PodVolumeBackupLabel: "b-1"}
		with(nodeDir)(p)
	}
	inVelero := func(p *corev1.Pod) { p.Namespace = "velero" }

	g.Expect(rowsOf(newCluster().pod("mover", mover, inVelero).facts)).To(BeEmpty())
	g.Expect(rowsOf(newCluster().pod("look-alike", mover).facts)).To(HaveLen(1))
}

func TestRunningPodIsNamed(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := newCluster().claim("data").pod("a", mounting("data"), inPhase(corev1.PodSucceeded)).
		pod("c", mounting("data")).pod("b", mounting("data"))

	g.Expect(rowsOf(c.facts)).To(ConsistOf(HaveField("Pod", "b")))
}

func TestKindsOfVolumes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(typeOf(emptyDir)).To(Equal("emptyDir"))
	g.Expect(typeOf(nodeDir)).To(Equal("hostPath"))
	g.Expect(typeOf(nfs)).To(Equal("nfs"))
	g.Expect(typeOf(corev1.Volume{Name: "x"})).To(Equal("emptyDir"))
}

func TestGrace(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	g.Expect(grace(time.Minute)).To(Equal(15 * time.Minute))
	g.Expect(grace(2 * time.Hour)).To(Equal(time.Hour))
	g.Expect(grace(24 * time.Hour)).To(Equal(4 * time.Hour))
}

// TestEachVolumeHasOneRow tries clusters of all kinds of objects.
func TestEachVolumeHasOneRow(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := randomCluster(random)
		want := map[string]bool{}
		for _, claim := range c.facts.Claims {
			want["claim/"+claim.Name] = true
		}
		for _, p := range c.facts.Pods {
			for _, v := range p.volumes {
				if p.claimName(v.source) == "" && !p.ended {
					want["volume/"+p.Name+"/"+v.source.Name] = true
				}
			}
		}

		got := map[string]bool{}
		for _, r := range rowsOf(c.facts) {
			key := "claim/" + r.Claim
			if r.Claim == "" {
				key = "volume/" + r.Pod + "/" + r.Volume
			}
			g := NewWithT(t)
			g.Expect(got).NotTo(HaveKey(key), "seed %d: a second row", seed)
			g.Expect(Verdicts()).To(ContainElement(r.Verdict), "seed %d: %s", seed, key)
			g.Expect(r.Reason).NotTo(BeEmpty(), "seed %d: %s", seed, key)
			g.Expect(r.By != "").To(Equal(r.Verdict == Excluded), "seed %d: %s %v", seed, key, r)
			g.Expect(r.Method != "").To(Equal(r.Verdict == Protected), "seed %d: %s", seed, key)
			g.Expect(r.Verdict == Protected && r.LastSuccess == nil).To(BeFalse(), "seed %d: %s", seed, key)
			got[key] = true
		}

		NewWithT(t).Expect(got).To(Equal(want), "seed %d", seed)
	}
}

func randomCluster(r *rand.Rand) *cluster {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	c := newCluster().namespace(pick("", "opt-in", "opt-out", "off", "nonsense"))
	c.policy(resourcepolicy.ActionType(pick("skip", "fs-backup", "snapshot", "custom")))
	c.facts.ServerDefault = r.IntN(2) == 0
	for i := range r.IntN(4) {
		c.claim(fmt.Sprintf("c%d", i), wishing(pick("", "include", "exclude", "typo")), createdAt(now.Add(-time.Duration(r.IntN(100))*time.Hour)),
			func(claim *corev1.PersistentVolumeClaim) {
				claim.Status.Phase = corev1.PersistentVolumeClaimPhase(pick("Bound", "Bound", "Pending", "Lost"))
				claim.Labels = map[string]string{velerov1.ExcludeFromBackupLabel: pick("false", "false", "true")}
			})
	}
	for i := range r.IntN(4) {
		c.pod(fmt.Sprintf("p%d", i), inPhase(corev1.PodPhase(pick("Running", "Running", "Pending", "Failed"))),
			annotated(velerov1.VolumesToBackupAnnotation, pick("", "cache", "c0,logs")), annotated(velerov1.VolumesToExcludeAnnotation, pick("", "cache,c1")),
			mounting(pick("c0", "c1", "gone")), with(slices.Clone([]corev1.Volume{emptyDir, nodeDir, nfs})[r.IntN(3)]))
	}
	for i := range r.IntN(3) {
		c.schedule(fmt.Sprintf("s%d", i), at(pick("0 3 * * *", "@every 1h", "never")), func(s *velerov1.Schedule) {
			s.Spec.Paused = r.IntN(4) == 0
			s.Spec.Template.DefaultVolumesToFsBackup = []*bool{nil, ptr.To(true), ptr.To(false)}[r.IntN(3)]
			s.Spec.Template.IncludedNamespaces = []string{pick("shop", "*", "other")}
			s.Spec.Template.ExcludedNamespaces = [][]string{nil, {"shop"}}[r.IntN(5)/4]
			if r.IntN(2) == 0 {
				named(&s.Spec.Template)
			}
		})
	}
	for i := range r.IntN(4) {
		c.backup(fmt.Sprintf("b%d", i), begunAt(now.Add(-time.Duration(r.IntN(60))*time.Hour)), func(b *velerov1.Backup, v *velerov1.PodVolumeBackup) {
			b.Status.Phase = velerov1.BackupPhase(pick("Completed", "PartiallyFailed", "Failed", "InProgress", "Deleting"))
			v.Status.Phase = velerov1.PodVolumeBackupPhase(pick("Completed", "Failed", "Canceled", "InProgress"))
			v.Labels[velerov1.PVCUIDLabel] = pick("uid-c0", "uid-c1", "other")
		})
	}
	return c
}
