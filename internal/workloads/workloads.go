// Package workloads tells which pods a workload will make: the pods' template, with
// the claims that the workload makes for them.
//
// It is pure and reads what people write: pods, Deployments, ReplicaSets,
// StatefulSets, DaemonSets, Jobs and CronJobs. What Kubernetes adds to the pods later
// (tokens, defaults) is not in them.
package workloads

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/podkeep/podkeep/internal/selection"
)

// Template is a pod that a workload will make.
type Template struct {
	// Pod has the metadata and the spec of the template, and the namespace of the
	// workload. Only a pod that is itself the workload has a name.
	Pod *corev1.Pod

	// Managed says that a controller has made the workload, which is of no interest to
	// people.
	Managed bool

	// Claims has the facts of the claims that the workload makes, by their names in
	// Pod. A claim that exists already may differ.
	Claims map[string]selection.ClaimFacts

	// ClaimTemplates are these claims as they will be made.
	ClaimTemplates map[string]*corev1.PersistentVolumeClaim
}

// decoders read one kind each.
var decoders = map[schema.GroupKind]func(raw []byte) (Template, error){
	{Group: corev1.GroupName, Kind: "Pod"}: func(raw []byte) (Template, error) {
		pod := &corev1.Pod{}
		return Template{Pod: pod}, json.Unmarshal(raw, pod)
	},
	{Group: appsv1.GroupName, Kind: "Deployment"}: func(raw []byte) (Template, error) {
		return decode(raw, func(d *appsv1.Deployment) Template { return template(d.Namespace, d.Spec.Template) })
	},
	{Group: appsv1.GroupName, Kind: "ReplicaSet"}: func(raw []byte) (Template, error) {
		return decode(raw, func(r *appsv1.ReplicaSet) Template { return template(r.Namespace, r.Spec.Template) })
	},
	{Group: appsv1.GroupName, Kind: "DaemonSet"}: func(raw []byte) (Template, error) {
		return decode(raw, func(d *appsv1.DaemonSet) Template { return template(d.Namespace, d.Spec.Template) })
	},
	{Group: appsv1.GroupName, Kind: "StatefulSet"}: func(raw []byte) (Template, error) { return decode(raw, ofStatefulSet) },
	{Group: batchv1.GroupName, Kind: "Job"}: func(raw []byte) (Template, error) {
		return decode(raw, func(j *batchv1.Job) Template { return template(j.Namespace, j.Spec.Template) })
	},
	{Group: batchv1.GroupName, Kind: "CronJob"}: func(raw []byte) (Template, error) {
		return decode(raw, func(c *batchv1.CronJob) Template { return template(c.Namespace, c.Spec.JobTemplate.Spec.Template) })
	},
}

// Known says whether objects of a kind make pods, as far as this package knows.
func Known(kind schema.GroupKind) bool { return decoders[kind] != nil }

// Decode reads the JSON of a workload. The error says that the kind is not one of a
// workload, or what does not fit.
func Decode(kind schema.GroupKind, raw []byte) (Template, error) {
	read, ok := decoders[kind]
	if !ok {
		return Template{}, fmt.Errorf("%s is no kind of workload", kind)
	}
	t, err := read(raw)
	if err != nil {
		return Template{}, fmt.Errorf("decoding %s: %w", kind, err)
	}
	var workload metav1.PartialObjectMetadata
	if err := json.Unmarshal(raw, &workload); err != nil {
		return Template{}, fmt.Errorf("decoding %s: %w", kind, err)
	}
	t.Managed = metav1.GetControllerOfNoCopy(&workload) != nil
	return t, nil
}

func decode[T any](raw []byte, templateOf func(*T) Template) (Template, error) {
	var workload T
	if err := json.Unmarshal(raw, &workload); err != nil {
		return Template{}, err
	}
	return templateOf(&workload), nil
}

func template(namespace string, t corev1.PodTemplateSpec) Template {
	pod := &corev1.Pod{ObjectMeta: t.ObjectMeta, Spec: t.Spec}
	pod.Namespace, pod.Name = namespace, ""
	return Template{Pod: pod}
}

// ofStatefulSet adds the volumes of the claim templates, as they are in the first
// pod. They replace volumes of the same name
// (k8s.io/kubernetes/pkg/controller/statefulset, updateStorage).
func ofStatefulSet(s *appsv1.StatefulSet) Template {
	t := template(s.Namespace, s.Spec.Template)
	t.Claims, t.ClaimTemplates = map[string]selection.ClaimFacts{}, map[string]*corev1.PersistentVolumeClaim{}
	for i := range s.Spec.VolumeClaimTemplates {
		claim := &s.Spec.VolumeClaimTemplates[i]
		name := fmt.Sprintf("%s-%s-0", claim.Name, s.Name)
		t.Claims[name] = selection.ClaimFactsOf(claim, nil)
		made := claim.DeepCopy()
		made.Namespace, made.Name = s.Namespace, name
		t.ClaimTemplates[name] = made
		t.Pod.Spec.Volumes = slices.DeleteFunc(t.Pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == claim.Name })
		t.Pod.Spec.Volumes = append(t.Pod.Spec.Volumes, corev1.Volume{Name: claim.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}})
	}
	return t
}
