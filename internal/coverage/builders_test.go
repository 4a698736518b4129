package coverage

import (
	"slices"
	"time"

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
