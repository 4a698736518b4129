package coverage

import (
	"reflect"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
	"github.com/podkeep/podkeep/internal/selection"
	"github.com/podkeep/podkeep/internal/volumeidentity"
)

// Facts are a cluster at one moment. Nothing in them is changed, so they may be
// shared with caches.
type Facts struct {
	Now time.Time

	// InstallNamespace is where podkeep's own objects are.
	InstallNamespace string

	// ServerDefault is the server's --default-volumes-to-fs-backup.
	ServerDefault bool

	// Namespaces by name. One that is missing has no labels.
	Namespaces map[string]Namespace

	// Pods are those that NewPod has something to say of.
	Pods   []*Pod
	Claims []*Claim

	// Volumes are the persistent volumes by name. One that is missing is not known.
	Volumes map[string]*PersistentVolume

	Schedules []velerov1.Schedule

	// Policies are the ConfigMaps that schedules name, by name.
	Policies map[string]Policy

	Backups          []velerov1.Backup
	PodVolumeBackups []velerov1.PodVolumeBackup
	Snapshots        []Snapshot
}

// Namespace is what coverage keeps of a namespace.
type Namespace struct {
	Policy   string // value of its podkeep.io/fs-backup label
	Excluded bool   // by its velero.io/exclude-from-backup label
	Deleting bool
}

// NewNamespace reads a namespace, or its metadata alone.
func NewNamespace(o metav1.Object) Namespace {
	return Namespace{
		Policy:   o.GetLabels()[velerov1.FSBackupLabel],
		Excluded: o.GetLabels()[velerov1.ExcludeFromBackupLabel] == "true",
		Deleting: o.GetDeletionTimestamp() != nil,
	}
}

// Policy is a ConfigMap with resource policies.
type Policy struct {
	Policies *resourcepolicy.Policies

	// Problem says why there are none; "" when there are.
	Problem string
}

// NewPolicy reads the ConfigMap of a policy; nil is one that does not exist.
func NewPolicy(config *corev1.ConfigMap) Policy {
	if config == nil {
		return Policy{Problem: "it does not exist"}
	}
	policies, problems := resourcepolicy.Parse(config.Data)
	return Policy{Policies: policies, Problem: strings.Join(problems, "; ")}
}

// Snapshot is a VolumeSnapshot that can be restored.
type Snapshot struct {
	Namespace, Name, Claim string
	At                     time.Time
}

// NewSnapshot reads a VolumeSnapshot of snapshot.storage.k8s.io/v1. ok is false when
// it cannot be restored, or is not of a claim.
func NewSnapshot(u *unstructured.Unstructured) (s Snapshot, ok bool) {
	claim, _, _ := unstructured.NestedString(u.Object, "spec", "source", "persistentVolumeClaimName")
	ready, _, _ := unstructured.NestedBool(u.Object, "status", "readyToUse")
	text, _, _ := unstructured.NestedString(u.Object, "status", "creationTime")
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at = u.GetCreationTimestamp().Time
	}
	return Snapshot{Namespace: u.GetNamespace(), Name: u.GetName(), Claim: claim, At: at}, ready && claim != ""
}

// Claim is what coverage keeps of a PersistentVolumeClaim.
type Claim struct {
	Namespace, Name string
	UID             types.UID
	Created         time.Time
	Labels          map[string]string

	phase       corev1.PersistentVolumeClaimPhase
	volume      string // name of the persistent volume
	class       string
	capacity    string
	block       bool
	wish        string // value of its podkeep.io/fs-backup annotation
	excluded    bool   // by its label or annotation
	deleting    bool
	endsWithPod bool
}

// NewClaim reads a claim.
func NewClaim(c *corev1.PersistentVolumeClaim) *Claim {
	facts := selection.ClaimFactsOf(c, nil)
	claim := &Claim{
		Namespace: c.Namespace, Name: c.Name, UID: c.UID, Created: c.CreationTimestamp.Time, Labels: c.Labels,
		phase: c.Status.Phase, volume: c.Spec.VolumeName, block: facts.Block, wish: facts.Wish,
		excluded: isExcluded(c), deleting: c.DeletionTimestamp != nil,
	}
	if c.Spec.StorageClassName != nil {
		claim.class = *c.Spec.StorageClassName
	}
	if q, ok := c.Status.Capacity[corev1.ResourceStorage]; ok {
		claim.capacity = q.String()
	} else if q, ok := c.Spec.Resources.Requests[corev1.ResourceStorage]; ok {
		claim.capacity = q.String()
	}
	if owner := metav1.GetControllerOfNoCopy(c); owner != nil && owner.Kind == "Pod" {
		claim.endsWithPod = true // a generic ephemeral volume
	}
	return claim
}

// isExcluded reports whether an item is in no backup because it says so itself.
func isExcluded(o metav1.Object) bool {
	return o.GetLabels()[velerov1.ExcludeFromBackupLabel] == "true" || o.GetAnnotations()[velerov1.SkipFromBackupAnnotation] == "true"
}

// PersistentVolume is what coverage keeps of a PersistentVolume.
type PersistentVolume struct {
	hostPath bool
	facts    resourcepolicy.Volume // without those of the claim
}

// NewPersistentVolume reads a persistent volume.
func NewPersistentVolume(v *corev1.PersistentVolume) *PersistentVolume {
	return &PersistentVolume{
		hostPath: v.Spec.HostPath != nil,
		facts:    resourcepolicy.OfBoundClaim(&corev1.PersistentVolumeClaim{}, v),
	}
}

// Pod is what coverage keeps of a pod: some hundred bytes, so that all pods of a
// cluster can be kept.
type Pod struct {
	Namespace, Name string
	UID             types.UID
	Created         time.Time
	Labels          map[string]string

	running     bool // a node agent can read its volumes
	ended       bool // it has ended, or is being deleted
	excluded    bool // by its label or annotation
	mover       bool
	annotations map[string]string
	owners      []volumeidentity.OwnerRef // what may own its volumes, the likeliest first
	volumes     []podVolume
}

// podVolume is a volume of a pod that could hold data.
type podVolume struct {
	source corev1.Volume
	device bool // no container mounts it, one uses it as a device
}

// keptAnnotations of pods are what selection looks at.
var keptAnnotations = []string{velerov1.VolumesToBackupAnnotation, velerov1.VolumesToExcludeAnnotation}

// NewPod reads a pod. It is nil when no volume of the pod could hold data: those
// that Kubernetes fills do not, and those that no container mounts.
func NewPod(p *corev1.Pod) *Pod {
	volumes := podVolumes(p)
	if len(volumes) == 0 {
		return nil
	}
	pod := &Pod{
		Namespace: p.Namespace, Name: p.Name, UID: p.UID, Created: p.CreationTimestamp.Time, Labels: p.Labels,
		running:  p.Status.Phase == corev1.PodRunning && p.Spec.NodeName != "" && p.DeletionTimestamp == nil,
		ended:    p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed || p.DeletionTimestamp != nil,
		excluded: isExcluded(p),
		mover:    p.Labels[velerov1.PodVolumeBackupLabel] != "" || p.Labels[velerov1.PodVolumeRestoreLabel] != "",
		owners:   ownersOf(p),
		volumes:  volumes,
	}
	for _, key := range keptAnnotations {
		if value, ok := p.Annotations[key]; ok {
			if pod.annotations == nil {
				pod.annotations = map[string]string{}
			}
			pod.annotations[key] = value
		}
	}
	return pod
}

// podVolumes lets selection say which volumes are filled by Kubernetes, and which
// are not used: that is the same whatever claims and policies say.
func podVolumes(p *corev1.Pod) []podVolume {
	var volumes []podVolume
	for i, d := range selection.Decide(selection.Input{Pod: p}) {
		if d.Reason == selection.ReasonManagedByKubernetes || d.Reason == selection.ReasonNotMounted {
			continue
		}
		v := p.Spec.Volumes[i]
		if v.Ephemeral != nil {
			v.Ephemeral = &corev1.EphemeralVolumeSource{}
		}
		volumes = append(volumes, podVolume{source: v, device: d.Reason == selection.ReasonBlockVolume})
	}
	return volumes
}

// podTemplateHash is the label by which Deployments tell their ReplicaSets apart; the
// name of a ReplicaSet ends in it (k8s.io/kubernetes/pkg/controller/deployment).
const podTemplateHash = "pod-template-hash"

// ownersOf returns the workloads that may own the volumes of a pod. Which
// Deployment and which CronJob is behind a ReplicaSet and a Job is told by their
// names, so that nobody needs to read these.
func ownersOf(p *corev1.Pod) []volumeidentity.OwnerRef {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil {
		return []volumeidentity.OwnerRef{{}}
	}
	direct := volumeidentity.OwnerRef{Kind: ref.Kind, Name: ref.Name}
	switch ref.Kind {
	case "ReplicaSet":
		hash := p.Labels[podTemplateHash]
		if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && hash != "" {
			return []volumeidentity.OwnerRef{{Kind: "Deployment", Name: name}, direct}
		}
	case "Job":
		// The name of a CronJob's Job ends in minutes since 1970
		// (k8s.io/kubernetes/pkg/controller/cronjob).
		i := strings.LastIndexByte(ref.Name, '-')
		if i > 0 && i < len(ref.Name)-1 && strings.Trim(ref.Name[i+1:], "0123456789") == "" {
			return []volumeidentity.OwnerRef{{Kind: "CronJob", Name: ref.Name[:i]}, direct}
		}
	}
	return []volumeidentity.OwnerRef{direct}
}

// claimName is the claim of a volume, "" when it has none.
func (p *Pod) claimName(v corev1.Volume) string {
	name, _ := selection.ClaimName(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: p.Name}}, v)
	return name
}

// readable is the pod as it would be if file system backup could read all its
// volumes: what people want of a volume is a question beside whether it is possible.
func (p *Pod) readable() *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID, Annotations: p.annotations}}
	c := corev1.Container{VolumeMounts: make([]corev1.VolumeMount, len(p.volumes))}
	pod.Spec.Volumes = make([]corev1.Volume, len(p.volumes))
	for i, v := range p.volumes {
		pod.Spec.Volumes[i] = v.source
		if v.source.HostPath != nil {
			pod.Spec.Volumes[i] = corev1.Volume{Name: v.source.Name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
		}
		c.VolumeMounts[i].Name = v.source.Name
	}
	pod.Spec.Containers = []corev1.Container{c}
	return pod
}

// endsWithPod reports whether the data of a volume that is no claim goes with its
// pod.
func endsWithPod(v corev1.Volume) bool { return v.EmptyDir != nil || v.CSI != nil || v.GitRepo != nil }

// typeOf is the kind of a volume as pods name it.
func typeOf(v corev1.Volume) string {
	source := reflect.ValueOf(v.VolumeSource)
	for i := range source.NumField() {
		if !source.Field(i).IsNil() {
			name, _, _ := strings.Cut(source.Type().Field(i).Tag.Get("json"), ",")
			return name
		}
	}
	return "emptyDir" // what the API server makes of a volume without a source
}
