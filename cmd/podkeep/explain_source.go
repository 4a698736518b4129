package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/explain"
	"github.com/podkeep/podkeep/internal/podfacts"
	"github.com/podkeep/podkeep/internal/podfacts/live"
)

// explainSource finds the facts of pods in the cluster, and remembers them: pods
// share claims and namespaces. What people may not read is a note, because most of
// the verdicts do not depend on it.
type explainSource struct {
	reader     client.Reader
	live       live.Source
	namespaces map[string]found[metav1.PartialObjectMetadata]
	claims     map[client.ObjectKey]found[corev1.PersistentVolumeClaim]
	volumes    map[string]found[corev1.PersistentVolume]
	owners     map[client.ObjectKey]string
	notes      []string // of the pod that is looked at
}

var _ podfacts.Source = (*explainSource)(nil)

// found is an object, nil when it does not exist or may not be read.
type found[T any] struct {
	object *T
	note   string
	err    error
}

func newExplainSource(r client.Reader) *explainSource {
	return &explainSource{
		reader: r, live: live.Source{Reader: r},
		namespaces: map[string]found[metav1.PartialObjectMetadata]{},
		claims:     map[client.ObjectKey]found[corev1.PersistentVolumeClaim]{},
		volumes:    map[string]found[corev1.PersistentVolume]{},
		owners:     map[client.ObjectKey]string{},
	}
}

// remember reads an object once.
func remember[K comparable, T any](s *explainSource, known map[K]found[T], key K, read func() (*T, error)) (*T, error) {
	f, ok := known[key]
	if !ok {
		f.object, f.err = read()
		if apierrors.IsForbidden(f.err) {
			f.note, f.err = f.err.Error()+"; verdicts that depend on it may be others", nil
		}
		known[key] = f
	}
	if f.note != "" && !slices.Contains(s.notes, f.note) {
		s.notes = append(s.notes, f.note)
	}
	return f.object, f.err
}

// Namespace implements podfacts.Source.
func (s *explainSource) Namespace(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	return remember(s, s.namespaces, name, func() (*metav1.PartialObjectMetadata, error) { return s.live.Namespace(ctx, name) })
}

// Claim implements podfacts.Source.
func (s *explainSource) Claim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	return remember(s, s.claims, client.ObjectKey{Namespace: namespace, Name: name}, func() (*corev1.PersistentVolumeClaim, error) {
		return s.live.Claim(ctx, namespace, name)
	})
}

// Volume implements podfacts.Source.
func (s *explainSource) Volume(ctx context.Context, name string) (*corev1.PersistentVolume, error) {
	return remember(s, s.volumes, name, func() (*corev1.PersistentVolume, error) { return s.live.Volume(ctx, name) })
}

// preload reads all claims of a namespace by one request. When that fails they are
// read one by one.
func (s *explainSource) preload(ctx context.Context, namespace string) {
	claims := &corev1.PersistentVolumeClaimList{}
	if err := s.reader.List(ctx, claims, client.InNamespace(namespace)); err != nil {
		return
	}
	for i := range claims.Items {
		c := &claims.Items[i]
		s.claims[client.ObjectKeyFromObject(c)] = found[corev1.PersistentVolumeClaim]{object: c}
	}
}

// subject gathers the facts of a pod.
func (s *explainSource) subject(ctx context.Context, pod *corev1.Pod, namespace string) (explain.Subject, error) {
	s.notes = nil
	facts, err := podfacts.Gather(ctx, s, pod, namespace)
	subject := explain.Subject{Kind: "Pod", Namespace: namespace, Name: pod.Name, Facts: facts, Notes: s.notes}
	return subject, err
}

// ownerOf is whose template makes the pod, in words. Of what a Deployment or a
// CronJob makes, these are meant: nobody edits the others.
func (s *explainSource) ownerOf(ctx context.Context, pod *corev1.Pod) string {
	ref := metav1.GetControllerOf(pod)
	if ref == nil {
		return ""
	}
	owner := ref.Kind + " " + ref.Name
	var above schema.GroupVersionKind
	switch ref.Kind {
	case "ReplicaSet":
		above = appsv1.SchemeGroupVersion.WithKind(ref.Kind)
	case "Job":
		above = batchv1.SchemeGroupVersion.WithKind(ref.Kind)
	default:
		return owner
	}
	key := client.ObjectKey{Namespace: pod.Namespace, Name: ref.Kind + "/" + ref.Name}
	if known, ok := s.owners[key]; ok {
		return known
	}
	middle := &metav1.PartialObjectMetadata{}
	middle.SetGroupVersionKind(above)
	if err := s.reader.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: ref.Name}, middle); err == nil {
		if top := metav1.GetControllerOf(middle); top != nil {
			owner = top.Kind + " " + top.Name
		}
	}
	s.owners[key] = owner
	return owner
}

// pods are those of the cluster with these names.
func (e *explaining) pods(ctx context.Context, keys []client.ObjectKey) ([]explain.Subject, error) {
	var subjects []explain.Subject
	for _, key := range keys {
		pod := &corev1.Pod{}
		if err := e.Get(ctx, key, pod); err != nil {
			return nil, e.explainPodError(ctx, err, key)
		}
		s, err := e.livePod(ctx, pod)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, s)
	}
	return subjects, nil
}

func (e *explaining) explainPodError(ctx context.Context, err error, key client.ObjectKey) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("pod %q not found in namespace %s; list pods with: kubectl get pods -n %s", key.Name, key.Namespace, key.Namespace)
	}
	return e.explainOthers(ctx, err, key.Namespace)
}

// explainOthers turns errors of kinds that are not podkeep's into sentences.
func (e *explaining) explainOthers(ctx context.Context, err error, namespace string) error {
	elsewhere := e.cluster
	elsewhere.namespace = namespace
	return elsewhere.explain(ctx, err, kind{}, "")
}

func (e *explaining) livePod(ctx context.Context, pod *corev1.Pod) (explain.Subject, error) {
	s, err := e.source.subject(ctx, pod, pod.Namespace)
	if err != nil {
		return s, e.explainOthers(ctx, err, pod.Namespace)
	}
	s.Live, s.Owner = true, e.source.ownerOf(ctx, pod)
	return s, nil
}

// namespaces are all pods of namespaces, by name.
func (e *explaining) namespaces(ctx context.Context, names []string) ([]explain.Subject, error) {
	var subjects []explain.Subject
	for _, name := range names {
		pods := &corev1.PodList{}
		if err := e.List(ctx, pods, client.InNamespace(name)); err != nil {
			return nil, e.explainOthers(ctx, err, name)
		}
		if len(pods.Items) == 0 {
			return nil, fmt.Errorf("no pods in namespace %s; list namespaces with: kubectl get namespaces", name)
		}
		e.source.preload(ctx, name)
		slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
		for i := range pods.Items {
			s, err := e.livePod(ctx, &pods.Items[i])
			if err != nil {
				return nil, err
			}
			subjects = append(subjects, s)
		}
	}
	return subjects, nil
}
