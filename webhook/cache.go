package webhook

import (
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/gateconfig"
	"github.com/podkeep/podkeep/webhook/serving"
)

// CacheOptions returns the cache that the webhook of an install needs and no
// more: no pods, the objects of podkeep in its own namespace only, and of claims,
// volumes and namespaces the few fields that decisions are made from. In a cluster
// with 10 000 claims that is a few megabytes instead of hundreds.
func CacheOptions(installNamespace string) cache.Options {
	here := map[string]cache.Config{installNamespace: {}}
	options := cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&velerov1.Restore{}:             {Namespaces: here, Transform: slimRestore},
			&velerov1.PodVolumeRestore{}:    {Namespaces: here, Transform: slimPodVolumeRestore},
			&corev1.ConfigMap{}:             {Namespaces: here, Label: gateconfig.Selector(), Transform: slim},
			&corev1.PersistentVolumeClaim{}: {Transform: slimClaim},
			&corev1.PersistentVolume{}:      {Transform: slimVolume},
			namespaceMetadata():             {Transform: newNamespaceSlimmer()},
		},
	}
	maps.Copy(options.ByObject, serving.CacheOptions(installNamespace))
	return options
}

// cached are the kinds whose caches must be filled before the first answer.
func cached() []client.Object {
	return []client.Object{
		&velerov1.Restore{}, &velerov1.PodVolumeRestore{}, &corev1.ConfigMap{},
		&corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}, namespaceMetadata(),
	}
}

func namespaceMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return m
}

// slim drops what no decision is made from and every object has.
func slim(in any) (any, error) {
	if o, ok := in.(client.Object); ok {
		o.SetManagedFields(nil)
		o.SetAnnotations(nil)
	}
	return in, nil
}

// newNamespaceSlimmer returns a transform that keeps of a namespace its name and
// podkeep's labels. Namespaces with the same policy share one map of labels: caches
// hand out copies.
func newNamespaceSlimmer() toolscache.TransformFunc {
	policies := map[string]map[string]string{}
	for _, p := range []string{velerov1.FSBackupOptIn, velerov1.FSBackupOptOut, velerov1.FSBackupOff} {
		policies[p] = map[string]string{velerov1.FSBackupLabel: p}
	}
	return func(in any) (any, error) {
		n, ok := in.(*metav1.PartialObjectMetadata)
		if !ok {
			return slim(in)
		}
		labels := map[string]string{}
		for key, value := range n.Labels {
			if strings.HasPrefix(key, velerov1.OwnPrefix) {
				labels[strings.Clone(key)] = strings.Clone(value)
			}
		}
		if shared, ok := policies[labels[velerov1.FSBackupLabel]]; ok && len(labels) == 1 {
			labels = shared
		}
		n.TypeMeta = namespaceMetadata().TypeMeta
		n.ObjectMeta = metav1.ObjectMeta{Name: n.Name, ResourceVersion: n.ResourceVersion, Labels: labels}
		return n, nil
	}
}

func slimRestore(in any) (any, error) {
	if r, ok := in.(*velerov1.Restore); ok {
		r.Spec = velerov1.RestoreSpec{}
		r.Status = velerov1.RestoreStatus{Phase: r.Status.Phase}
	}
	return slim(in)
}

func slimPodVolumeRestore(in any) (any, error) {
	if r, ok := in.(*velerov1.PodVolumeRestore); ok {
		pod, kept := r.Spec.Pod, pick(r.Annotations, velerov1.PodOwnerAnnotation)
		r.Spec = velerov1.PodVolumeRestoreSpec{
			Volume: r.Spec.Volume, Pod: corev1.ObjectReference{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		}
		r.Status = velerov1.PodVolumeRestoreStatus{Phase: r.Status.Phase}
		if _, err := slim(r); err != nil {
			return nil, err
		}
		r.Annotations = kept
	}
	return in, nil
}

func slimClaim(in any) (any, error) {
	if c, ok := in.(*corev1.PersistentVolumeClaim); ok {
		kept, labels := pick(c.Annotations, velerov1.ClaimFSBackupAnnotation, velerov1.FilledByAnnotation), []string{velerov1.RestoreIncompleteLabel}
		if c.Annotations[velerov1.FilledByAnnotation] != "" {
			labels = append(labels, velerov1.RestoreNameLabel)
		}
		c.Labels = pick(c.Labels, labels...)
		c.Spec = corev1.PersistentVolumeClaimSpec{VolumeName: c.Spec.VolumeName, VolumeMode: c.Spec.VolumeMode}
		c.Status = corev1.PersistentVolumeClaimStatus{}
		if _, err := slim(c); err != nil {
			return nil, err
		}
		c.Annotations = kept
	}
	return in, nil
}

// pick returns some keys of a map; nil when it has none of them.
func pick(all map[string]string, keys ...string) map[string]string {
	var some map[string]string
	for _, key := range keys {
		value, ok := all[key]
		if !ok {
			continue
		}
		if some == nil {
			some = map[string]string{}
		}
		some[key] = value
	}
	return some
}

func slimVolume(in any) (any, error) {
	if v, ok := in.(*corev1.PersistentVolume); ok {
		v.Labels = nil
		hostPath := v.Spec.HostPath
		v.Spec = corev1.PersistentVolumeSpec{}
		v.Spec.HostPath = hostPath
		v.Status = corev1.PersistentVolumeStatus{}
	}
	return slim(in)
}
