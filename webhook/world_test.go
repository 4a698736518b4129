package webhook

import (
	"context"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// world is a cache or an API server that holds a few objects.
type world struct {
	objects []client.Object
	err     error // of every read, when set
	reads   int
}

func worldWith(objects ...client.Object) *world { return &world{objects: objects} }

func (w *world) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	w.reads++
	if w.err != nil {
		return w.err
	}
	for _, o := range w.objects {
		if reflect.TypeOf(o) == reflect.TypeOf(into) && client.ObjectKeyFromObject(o) == key {
			reflect.ValueOf(into).Elem().Set(reflect.ValueOf(o.DeepCopyObject()).Elem())
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, key.Name)
}

func (w *world) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	w.reads++
	if w.err != nil {
		return w.err
	}
	opts := (&client.ListOptions{}).ApplyOptions(options)
	items := reflect.ValueOf(into).Elem().FieldByName("Items")
	var found []runtime.Object
	for _, o := range w.objects {
		matches := opts.LabelSelector == nil || opts.LabelSelector.Matches(labels.Set(o.GetLabels()))
		if reflect.TypeOf(o).Elem() == items.Type().Elem() && o.GetNamespace() == opts.Namespace && matches {
			found = append(found, o)
		}
	}
	return meta.SetList(into, found)
}

// worldClient is a world where a client is wanted; writes panic.
type worldClient struct {
	client.Client
	world *world
}

func (c worldClient) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	return c.world.Get(ctx, key, into, opts...)
}

func (c worldClient) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	return c.world.List(ctx, into, opts...)
}

// podWith builds the pod shop/web-0 with one container, app.
func podWith(mods ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}}
	pod.Namespace, pod.Name = "shop", "web-0"
	for _, mod := range mods {
		mod(pod)
	}
	return pod
}

// volumes adds emptyDirs that app mounts.
func volumes(names ...string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		for _, name := range names {
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name})
			app := &pod.Spec.Containers[0]
			app.VolumeMounts = append(app.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/" + name})
		}
	}
}

// claimVolume adds a volume with the claim of the same name.
func claimVolume(name string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		volumes(name)(pod)
		pod.Spec.Volumes[len(pod.Spec.Volumes)-1].PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}
	}
}

// restored is what the restore shop-1 puts on a pod; "" fills no volume.
func restored(volumes string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Labels = map[string]string{velerov1.RestoreNameLabel: "shop-1"}
		if volumes != "" {
			pod.Annotations = map[string]string{velerov1.RestoreVolumesAnnotation: volumes}
		}
	}
}

func mirror(pod *corev1.Pod) { annotate(pod, corev1.MirrorPodAnnotationKey, "hash") }

func include(list string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { annotate(pod, velerov1.VolumesToBackupAnnotation, list) }
}

func annotate(pod *corev1.Pod, key, value string) {
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[key] = value
}

func initContainer(name string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: name})
	}
}

func oldGate(pod *corev1.Pod) { initContainer("restore-wait")(pod) }

func initNames(pod *corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	return names
}

func restore(name string, phase velerov1.RestorePhase) *velerov1.Restore {
	r := &velerov1.Restore{}
	r.Namespace, r.Name, r.UID = installNamespace, name, "restore-uid"
	r.Status.Phase = phase
	return r
}

func volumeRestore(claimUID string, phase velerov1.PodVolumeRestorePhase) *velerov1.PodVolumeRestore {
	r := &velerov1.PodVolumeRestore{}
	r.Namespace, r.Name = installNamespace, "shop-1-0123456789"
	r.Labels = map[string]string{velerov1.RestoreNameLabel: "shop-1", velerov1.RestoreUIDLabel: "restore-uid", velerov1.PVCUIDLabel: claimUID}
	r.Spec.Pod.Namespace = "shop"
	r.Status.Phase = phase
	return r
}

func claimOf(namespace, name, uid string) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{}
	c.Namespace, c.Name, c.UID = namespace, name, types.UID(uid)
	return c
}

func namespaceWith(name, policy string) *metav1.PartialObjectMetadata {
	n := namespaceMetadata()
	n.Name = name
	if policy != "" {
		n.Labels = map[string]string{velerov1.FSBackupLabel: policy}
	}
	return n
}

func gateConfigMap(name string, data map[string]string) *corev1.ConfigMap {
	m := &corev1.ConfigMap{Data: data}
	m.Namespace, m.Name = installNamespace, name
	m.Labels = map[string]string{velerov1.PluginConfigLabel: "", velerov1.PodVolumeRestoreLabel: velerov1.RestoreItemActionKind}
	return m
}
