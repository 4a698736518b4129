package coverage

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	protected := brief{Protected, ReasonFileSystemBackup, ""}
	tests := map[string]struct {
		cluster *cluster
		want    brief // of the only row
	}{
		"backed up last night": {app().backup("b"), protected},
		"backed up by hand today, and covered by a schedule": {
			app().backup("b", manual, begunAt(now.Add(-time.Hour))), protected,
		},
		"backed up by hand, and covered by no schedule": {
			newCluster().claim("data").pod("web", mounting("data")).backup("b", manual), brief{Unprotected, ReasonNoSchedule, ""},
		},
		"a backup that ran four hours after it was due counts as that of last night": {
			app().backup("b", begunAt(lastNight.Add(4*time.Hour))), protected,
		},
		"the night before last": {app().backup("b", begunAt(lastNight.Add(-24*time.Hour))), brief{Unprotected, ReasonStale, ""}},
		"the night before last, while the backup of last night may still go on": {
			app().backup("b", begunAt(lastNight.Add(-24*time.Hour))).atTime(lastNight.Add(3 * time.Hour)), protected,
		},
		"never backed up in a week": {app(), brief{Unprotected, ReasonNeverBackedUp, ""}},
		"the last attempt failed": {
			app().backup("old", begunAt(lastNight.Add(-24*time.Hour))).backup("b", volumeFailed), brief{Unprotected, ReasonLastBackupFailed, ""},
		},
		"an attempt by hand failed after that of the schedule": {
			app().backup("b").backup("hand", manual, volumeFailed, begunAt(now.Add(-time.Hour))), brief{Unprotected, ReasonLastBackupFailed, ""},
		},
		"an attempt failed and the next one did not": {
			app().backup("old", begunAt(lastNight.Add(-24*time.Hour)), volumeFailed).backup("b"), protected,
		},
		"a canceled attempt says nothing": {
			app().backup("b").backup("hand", manual, volumeCanceled, begunAt(now.Add(-time.Hour))), protected,
		},
		"the schedule's last backup failed before it came to any volume": {
			app().backup("old", begunAt(lastNight.Add(-24*time.Hour))).backup("b", wholeFailed), brief{Unprotected, ReasonLastBackupFailed, ""},
		},
		"a failed backup that a backup by hand has replaced": {
			app().backup("b", wholeFailed).backup("hand", manual, begunAt(now.Add(-time.Hour))), protected,
		},
		"a snapshot whose backup was not stored is none": {
			app().backup("b", func(b *velerov1.Backup, _ *velerov1.PodVolumeBackup) { b.Status.Phase = velerov1.BackupPhaseFailed }),
			brief{Unprotected, ReasonLastBackupFailed, ""},
		},
		"a snapshot of a backup that is being deleted is none": {
			app().backup("b", func(b *velerov1.Backup, _ *velerov1.PodVolumeBackup) { b.Status.Phase = velerov1.BackupPhaseDeleting }),
			brief{Unprotected, ReasonNeverBackedUp, ""},
		},
		"a backup that has not ended is no success": {
			app().backup("b", func(b *velerov1.Backup, _ *velerov1.PodVolumeBackup) { b.Status.Phase = velerov1.BackupPhaseInProgress }),
			brief{Unprotected, ReasonNeverBackedUp, ""},
		},
		"a claim of the same name that was deleted since": {
			app().backup("b", func(_ *velerov1.Backup, v *velerov1.PodVolumeBackup) { v.Labels[velerov1.PVCUIDLabel] = "another" }),
			brief{Unprotected, ReasonNeverBackedUp, ""},
		},
		"made after the backup of last night": {
			newCluster().claim("data", createdAt(lastNight.Add(time.Hour))).pod("web", mounting("data")).schedule("nightly"),
			brief{Pending, ReasonFirstBackupDue, ""},
		},
		"a schedule that was made after last night": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("nightly", func(s *velerov1.Schedule) {
				s.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
			}),
			brief{Pending, ReasonFirstBackupDue, ""},
		},
		"a schedule that has skipped what was due": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("nightly", func(s *velerov1.Schedule) {
				s.Status.LastSkipped = ptr.To(metav1.NewTime(now.Add(-time.Hour)))
			}),
			brief{Pending, ReasonFirstBackupDue, ""},
		},
		"an interval counts from now": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("nightly", at("@every 1h")).backup("b", begunAt(now.Add(-80*time.Minute))),
			protected,
		},
		"an interval and its grace are over": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("nightly", at("@every 1h")).backup("b", begunAt(now.Add(-91*time.Minute))),
			brief{Unprotected, ReasonStale, ""},
		},
		"one schedule of two that does its work is enough": {
			app().schedule("hourly", at("@hourly")).backup("b"), protected,
		},
		"one that has failed is worse than one that is not due yet": {
			app().schedule("weekly", at("@weekly"), func(s *velerov1.Schedule) { s.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour)) }),
			brief{Unprotected, ReasonNeverBackedUp, ""},
		},
		"no schedule": {newCluster().claim("data").pod("web", mounting("data")), brief{Unprotected, ReasonNoSchedule, ""}},
		"a schedule of another namespace": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("other", template(func(s *velerov1.BackupSpec) { s.IncludedNamespaces = []string{"db"} })),
			brief{Unprotected, ReasonNoSchedule, ""},
		},
		"a schedule of other labels": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("other", template(func(s *velerov1.BackupSpec) {
				s.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "db"}}
			})),
			brief{Unprotected, ReasonNoSchedule, ""},
		},
		"a schedule of other kinds": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("other", template(func(s *velerov1.BackupSpec) { s.IncludedResources = []string{"configmaps"} })),
			brief{Unprotected, ReasonNoSchedule, ""},
		},
		"a schedule of pods and claims by their short names": {
			newCluster().claim("data").pod("web", mounting("data")).backup("b").schedule("nightly", template(func(s *velerov1.BackupSpec) { s.IncludedResources = []string{"po", "pvc"} })),
			protected,
		},
		"a paused schedule": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("nightly", paused).backup("b"), brief{Unprotected, ReasonSchedulePaused, ""},
		},
		"a schedule that never is": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("nightly", at("sometimes")), brief{Unprotected, ReasonScheduleInvalid, ""},
		},
		"a schedule with a policy that does not exist": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("nightly", template(named)), brief{Unprotected, ReasonScheduleInvalid, ""},
		},
		"a schedule with filters that exclude each other": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("nightly", template(func(s *velerov1.BackupSpec) {
				s.IncludedNamespaces = []string{"*", "shop"}
			})),
			brief{Unprotected, ReasonScheduleInvalid, ""},
		},
		"nobody selects it": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("nightly", optIn), brief{Unprotected, ReasonNotSelected, ""},
		},
		"the server's default selects it": {
			newCluster().serverDefault().claim("data").pod("web", mounting("data")).schedule("nightly", optIn).backup("b"), protected,
		},
		"the old name of the backup's default selects it": {
			newCluster().claim("data").pod("web", mounting("data")).backup("b").schedule("nightly", optIn, template(func(s *velerov1.BackupSpec) {
				s.DefaultVolumesToRestic = ptr.To(true) //nolint:staticcheck // deprecated, and still in manifests
			})),
			protected,
		},
		"its namespace selects it": {
			newCluster().namespace(velerov1.FSBackupOptOut).claim("data").pod("web", mounting("data")).schedule("nightly", optIn).backup("b"), protected,
		},
		"its pod selects it": {
			newCluster().claim("data").pod("web", mounting("data"), annotated(velerov1.VolumesToBackupAnnotation, "data")).schedule("nightly", optIn).backup("b"),
			protected,
		},
		"the claim selects itself": {
			newCluster().claim("data", wishing(velerov1.ClaimInclude)).pod("web", mounting("data")).schedule("nightly", optIn).backup("b"), protected,
		},
		"a policy selects it": {
			newCluster().policy(resourcepolicy.ActionFSBackup).claim("data").pod("web", mounting("data")).schedule("nightly", optIn, template(named)).backup("b"),
			protected,
		},
		"a namespace that leaves the choice to pods is no choice": {
			newCluster().namespace(velerov1.FSBackupOptIn).claim("data").pod("web", mounting("data")).schedule("nightly", optIn),
			brief{Unprotected, ReasonNotSelected, ""},
		},
		"the pod excludes it": {
			newCluster().claim("data").pod("web", mounting("data"), annotated(velerov1.VolumesToExcludeAnnotation, "data")).schedule("nightly"),
			brief{Excluded, "ExcludedByPod", ByPod},
		},
		"one of two pods excludes it": {
			app().pod("other", mounting("data"), annotated(velerov1.VolumesToExcludeAnnotation, "data")).backup("b"), protected,
		},
		"the claim excludes itself": {
			newCluster().claim("data", wishing(velerov1.ClaimExclude)).pod("web", mounting("data")).schedule("nightly"),
			brief{Excluded, "ExcludedByClaim", ByClaim},
		},
		"the claim excludes itself and nobody would take it": {
			newCluster().claim("data", wishing(velerov1.ClaimExclude)), brief{Excluded, "ExcludedByClaim", ByClaim},
		},
		"the namespace is off": {
			newCluster().namespace(velerov1.FSBackupOff).claim("data").pod("web", mounting("data")).schedule("nightly"),
			brief{Excluded, "NamespacePolicy", ByNamespace},
		},
		"a policy skips it": {
			newCluster().policy(resourcepolicy.ActionSkip).claim("data").pod("web", mounting("data")).schedule("nightly", template(named)),
			brief{Excluded, "VolumePolicySkip", ByVolumePolicy},
		},
		"a policy leaves it to others": {
			newCluster().policy(resourcepolicy.ActionCustom).claim("data").pod("web", mounting("data")).schedule("nightly", template(named)),
			brief{Excluded, "VolumePolicyCustom", ByVolumePolicy},
		},
		"a policy of one schedule skips it and another schedule takes it": {
			app().policy(resourcepolicy.ActionSkip).schedule("other", template(named)).backup("b"), protected,
		},
		"the claim's label": {
			newCluster().claim("data", func(c *corev1.PersistentVolumeClaim) {
				c.Labels = map[string]string{velerov1.ExcludeFromBackupLabel: "true"}
			}).
				pod("web", mounting("data")).schedule("nightly"),
			brief{Excluded, ReasonExcludedByLabel, ByClaim},
		},
		"the pod's label": {
			newCluster().claim("data").schedule("nightly").pod("web", mounting("data"), func(p *corev1.Pod) {
				p.Labels = map[string]string{velerov1.ExcludeFromBackupLabel: "true"}
			}),
			brief{Excluded, ReasonExcludedByLabel, ByPod},
		},
		"the namespace's label": {
			app().labelled(Namespace{Excluded: true}), brief{Excluded, ReasonExcludedByLabel, ByNamespace},
		},
		"a schedule leaves out the namespace by name": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("nightly", template(func(s *velerov1.BackupSpec) {
				s.IncludedNamespaces, s.ExcludedNamespaces = nil, []string{"shop"}
			})),
			brief{Excluded, ReasonExcludedByFilter, BySchedule},
		},
		"a schedule leaves out claims": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("nightly", template(func(s *velerov1.BackupSpec) { s.ExcludedResources = []string{"pvc"} })),
			brief{Excluded, ReasonExcludedByFilter, BySchedule},
		},
		"a schedule leaves out the namespace and another one takes it": {
			app().backup("b").schedule("all", template(func(s *velerov1.BackupSpec) { s.IncludedNamespaces, s.ExcludedNamespaces = nil, []string{"shop"} })), protected,
		},
		"a schedule leaves out the namespace, and in another one nobody selects the volume": {
			newCluster().claim("data").pod("web", mounting("data")).schedule("shop", optIn).schedule("all", template(func(s *velerov1.BackupSpec) {
				s.IncludedNamespaces, s.ExcludedNamespaces = nil, []string{"shop"}
			})),
			brief{Unprotected, ReasonNotSelected, ""},
		},
		"no pod mounts it":                           {newCluster().claim("data").schedule("nightly").backup("b"), brief{Unprotected, ReasonClaimNotMounted, ""}},
		"no pod mounts it, and there is no schedule": {newCluster().claim("data"), brief{Unprotected, ReasonClaimNotMounted, ""}},
		"no pod mounts it, and a policy skips it": {
			newCluster().policy(resourcepolicy.ActionSkip).claim("data").schedule("nightly", template(named)), brief{Excluded, "VolumePolicySkip", ByVolumePolicy},
		},
		"no pod mounts it, and schedules leave out the namespace": {
			newCluster().claim("data").schedule("nightly", template(func(s *velerov1.BackupSpec) {
				s.IncludedNamespaces, s.ExcludedNamespaces = nil, []string{"shop"}
			})),
			brief{Excluded, ReasonExcludedByFilter, BySchedule},
		},
		"it has no volume yet": {
			newCluster().schedule("nightly").pod("web", mounting("data")).claim("data", func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimPending }),
			brief{Pending, ReasonClaimNotBound, ""},
		},
		"its volume is gone": {
			newCluster().schedule("nightly").pod("web", mounting("data")).claim("data", func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimLost }),
			brief{Unprotected, ReasonClaimLost, ""},
		},
		"it is being deleted": {
			newCluster().schedule("nightly").pod("web", mounting("data")).claim("data", func(c *corev1.PersistentVolumeClaim) { c.DeletionTimestamp = ptr.To(metav1.NewTime(now)) }),
			brief{Excluded, ReasonBeingDeleted, ByClaim},
		},
		"its namespace is being deleted": {app().labelled(Namespace{Deleting: true}), brief{Excluded, ReasonBeingDeleted, ByNamespace}},
		"its pod does not run": {
			newCluster().claim("data").pod("web", mounting("data"), inPhase(corev1.PodPending)).schedule("nightly"), brief{Unprotected, "PodNotRunning", ""},
		},
		"its pod has ended, and the last backup is recent": {
			newCluster().claim("data").pod("web", mounting("data"), inPhase(corev1.PodSucceeded)).schedule("nightly").backup("b"), protected,
		},
		"a directory of the node behind a claim": {
			app().volume("data", func(v *corev1.PersistentVolume) {
				v.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}}
			}),
			brief{Unprotected, "HostPathUnsupported", ""},
		},
		"a directory of the node behind a claim that excludes itself": {
			newCluster().schedule("nightly").pod("web", mounting("data")).claim("data", wishing(velerov1.ClaimExclude)).
				volume("data", func(v *corev1.PersistentVolume) {
					v.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}}
				}),
			brief{Excluded, "ExcludedByClaim", ByClaim},
		},
		"a raw device": {
			newCluster().schedule("nightly").claim("data", func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock) }).
				pod("web", func(p *corev1.Pod) {
					mounting("data")(p)
					p.Spec.Containers[0].VolumeMounts = nil
					p.Spec.Containers[0].VolumeDevices = []corev1.VolumeDevice{{Name: "data", DevicePath: "/dev/data"}}
				}),
			brief{Unprotected, "BlockVolume", ""},
		},
		"a snapshot of last night": {
			newCluster().policy(resourcepolicy.ActionSnapshot).claim("data").pod("web", mounting("data")).schedule("nightly", template(named)).snapshot(lastNight.Add(time.Minute)),
			brief{Protected, ReasonVolumeSnapshot, ""},
		},
		"a snapshot of a claim that no pod mounts": {
			newCluster().policy(resourcepolicy.ActionSnapshot).claim("data").schedule("nightly", template(named)).snapshot(lastNight.Add(time.Minute)),
			brief{Protected, ReasonVolumeSnapshot, ""},
		},
		"an old snapshot": {
			newCluster().policy(resourcepolicy.ActionSnapshot).claim("data").pod("web", mounting("data")).schedule("nightly", template(named)).snapshot(lastWeek),
			brief{Unprotected, ReasonSnapshotMissing, ""},
		},
		"left to snapshots, and new": {
			newCluster().policy(resourcepolicy.ActionSnapshot).claim("data", createdAt(now)).pod("web", mounting("data")).schedule("nightly", template(named)),
			brief{Pending, ReasonFirstBackupDue, ""},
		},
		"a snapshot that no schedule asks for": {
			newCluster().claim("data").pod("web", mounting("data")).snapshot(now), brief{Unprotected, ReasonNoSchedule, ""},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			rows := rowsOf(tc.cluster.facts)

			g.Expect(rows).To(HaveLen(1))
			g.Expect(briefOf(rows[0])).To(Equal(tc.want), rows[0].Message)
			if rows[0].Verdict != Protected {
				g.Expect(rows[0].Message).NotTo(BeEmpty(), "each reason says what to do")
				g.Expect(rows[0].Message).NotTo(ContainSubstring("\n"))
			}
		})
	}
}
