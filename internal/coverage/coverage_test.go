package coverage

import (
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
)

// now is noon. The schedules of the tests are due at three in the morning.
var (
	now       = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	lastNight = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	lastWeek  = now.Add(-7 * 24 * time.Hour)
)

// cluster is what a test puts into Facts. Claims are bound and a week old, pods run
// and mount all their volumes.
type cluster struct {
	facts Facts
	uids  map[string]types.UID
}

func newCluster() *cluster {
	return &cluster{
		facts: Facts{
			Now: now, InstallNamespace: "velero", Namespaces: map[string]Namespace{"shop": {}},
			Volumes: map[string]*PersistentVolume{}, Policies: map[string]Policy{},
		},
		uids: map[string]types.UID{},
	}
}

type (
	claimMod    func(*corev1.PersistentVolumeClaim)
	podMod      func(*corev1.Pod)
	scheduleMod func(*velerov1.Schedule)
	backupMod   func(*velerov1.Backup, *velerov1.PodVolumeBackup)
)

func (c *cluster) claim(name string, mods ...claimMod) *cluster {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(lastWeek),
		},
		Spec:   corev1.PersistentVolumeClaimSpec{VolumeName: "pv-" + name, StorageClassName: ptr.To("fast")},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}
	for _, m := range mods {
		m(claim)
	}
	c.facts.Claims = append(c.facts.Claims, NewClaim(claim))
	if _, ok := c.facts.Volumes["pv-"+name]; !ok {
		c.volume(name, func(*corev1.PersistentVolume) {})
	}
	return c
}

func (c *cluster) volume(claim string, mod func(*corev1.PersistentVolume)) *cluster {
	v := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv-" + claim},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName:       "fast",
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "csi.example.com"}},
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
		},
	}
	mod(v)
	c.facts.Volumes[v.Name] = NewPersistentVolume(v)
	return c
}

func (c *cluster) pod(name string, mods ...podMod) *cluster {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(lastWeek),
			Annotations: map[string]string{},
		},
		Spec:   corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "app"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, m := range mods {
		m(p)
	}
	if kept := NewPod(p); kept != nil {
		c.facts.Pods = append(c.facts.Pods, kept)
	}
	return c
}

// schedule covers namespace shop each night, and takes all volumes.
func (c *cluster) schedule(name string, mods ...scheduleMod) *cluster {
	s := velerov1.Schedule{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: name, CreationTimestamp: metav1.NewTime(lastWeek)},
		Spec: velerov1.ScheduleSpec{
			Schedule: "0 3 * * *",
			Template: velerov1.BackupSpec{IncludedNamespaces: []string{"shop"}, DefaultVolumesToFsBackup: ptr.To(true)},
		},
	}
	for _, m := range mods {
		m(&s)
	}
	c.facts.Schedules = append(c.facts.Schedules, s)
	return c
}

// backup is one of schedule nightly, last night, of claim data, and complete.
func (c *cluster) backup(name string, mods ...backupMod) *cluster {
	b := velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "velero", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{velerov1.ScheduleNameLabel: "nightly"},
		},
		Status: velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted, StartTimestamp: ptr.To(metav1.NewTime(lastNight))},
	}
	v := velerov1.PodVolumeBackup{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "velero", Name: name + "-1",
			Labels: map[string]string{
				velerov1.BackupNameLabel: name, velerov1.BackupUIDLabel: string(b.UID), velerov1.PVCUIDLabel: "uid-data",
			},
		},
		Spec: velerov1.PodVolumeBackupSpec{Pod: corev1.ObjectReference{Namespace: "shop", Name: "web", UID: "uid-web"}, Volume: "data"},
		Status: velerov1.PodVolumeBackupStatus{
			Phase: velerov1.PodVolumeBackupPhaseCompleted, Progress: velerov1.DataMoveOperationProgress{TotalBytes: 1000},
		},
	}
	for _, m := range mods {
		m(&b, &v)
	}
	c.facts.Backups = append(c.facts.Backups, b)
	if v.Name != "" {
		c.facts.PodVolumeBackups = append(c.facts.PodVolumeBackups, v)
	}
	return c
}

func mounting(claim string) podMod {
	return with(corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
	}})
}

// with adds a volume that the container mounts.
func with(v corev1.Volume) podMod {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, v)
		p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: "/" + v.Name})
	}
}

var (
	emptyDir = corev1.Volume{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
	nodeDir  = corev1.Volume{Name: "logs", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/log"}}}
	nfs      = corev1.Volume{Name: "share", VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "files", Path: "/"}}}
)

func annotated(key, value string) podMod {
	return func(p *corev1.Pod) { p.Annotations[key] = value }
}

func inPhase(phase corev1.PodPhase) podMod { return func(p *corev1.Pod) { p.Status.Phase = phase } }

func wishing(wish string) claimMod {
	return func(c *corev1.PersistentVolumeClaim) {
		c.Annotations = map[string]string{velerov1.ClaimFSBackupAnnotation: wish}
	}
}

func createdAt(t time.Time) claimMod {
	return func(c *corev1.PersistentVolumeClaim) { c.CreationTimestamp = metav1.NewTime(t) }
}

func optIn(s *velerov1.Schedule)  { s.Spec.Template.DefaultVolumesToFsBackup = nil }
func paused(s *velerov1.Schedule) { s.Spec.Paused = true }

func at(cron string) scheduleMod { return func(s *velerov1.Schedule) { s.Spec.Schedule = cron } }

func template(mod func(*velerov1.BackupSpec)) scheduleMod {
	return func(s *velerov1.Schedule) { mod(&s.Spec.Template) }
}

func begunAt(t time.Time) backupMod {
	return func(b *velerov1.Backup, _ *velerov1.PodVolumeBackup) {
		b.Status.StartTimestamp = ptr.To(metav1.NewTime(t))
	}
}

func manual(b *velerov1.Backup, _ *velerov1.PodVolumeBackup) { b.Labels = nil }

func volumeFailed(_ *velerov1.Backup, v *velerov1.PodVolumeBackup) {
	v.Status.Phase, v.Status.Message = velerov1.PodVolumeBackupPhaseFailed, "no space\nleft"
}

func volumeCanceled(_ *velerov1.Backup, v *velerov1.PodVolumeBackup) {
	v.Status.Phase = velerov1.PodVolumeBackupPhaseCanceled
}

func wholeFailed(b *velerov1.Backup, v *velerov1.PodVolumeBackup) {
	b.Status.Phase, b.Status.FailureReason = velerov1.BackupPhaseFailed, "bucket is gone"
	v.Name = "" // it came to no volume
}

// withPolicy has the schedule name a ConfigMap with one volume policy for everything.
func (c *cluster) policy(action resourcepolicy.ActionType) *cluster {
	c.facts.Policies["policies"] = Policy{Policies: &resourcepolicy.Policies{
		VolumePolicies: []resourcepolicy.VolumePolicy{{Action: resourcepolicy.Action{Type: action}}},
	}}
	return c
}

func named(s *velerov1.BackupSpec) {
	s.ResourcePolicy = &corev1.TypedLocalObjectReference{Kind: "configmap", Name: "policies"}
}

// brief is what the tables compare: verdict, reason and who.
type brief struct {
	verdict Verdict
	reason  Reason
	by      By
}

func briefOf(r Row) brief { return brief{r.Verdict, r.Reason, r.By} }

func rowsOf(f Facts) []Row {
	rows := slices.Collect(Rows(f))
	Sort(rows)
	return rows
}

// app is a pod that mounts claim data, covered by schedule nightly.
func app() *cluster {
	return newCluster().claim("data").pod("web", mounting("data")).schedule("nightly")
}

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

func (c *cluster) atTime(t time.Time) *cluster {
	c.facts.Now = t
	return c
}

func (c *cluster) serverDefault() *cluster {
	c.facts.ServerDefault = true
	return c
}

func (c *cluster) namespace(policy string) *cluster { return c.labelled(Namespace{Policy: policy}) }

func (c *cluster) labelled(n Namespace) *cluster {
	c.facts.Namespaces["shop"] = n
	return c
}

func (c *cluster) snapshot(at time.Time) *cluster {
	c.facts.Snapshots = append(c.facts.Snapshots, Snapshot{Namespace: "shop", Name: "snap", Claim: "data", At: at})
	return c
}
