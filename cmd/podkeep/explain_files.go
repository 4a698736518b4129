package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/explain"
)

// manifest is an object of a file, and where it stands for messages.
type manifest struct {
	*unstructured.Unstructured
	where string
}

// standardInput is the name of the file that is none.
const standardInput = "-"

// readManifests reads all objects of all documents of files.
func readManifests(in io.Reader, files []string) ([]manifest, error) {
	var all []manifest
	for _, file := range files {
		r, name := in, "standard input"
		if file != standardInput {
			f, err := os.Open(file)
			if err != nil {
				return nil, fmt.Errorf("--filename: %w", err)
			}
			defer f.Close()
			r, name = f, file
		}
		objects, err := decodeManifests(r, name)
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return all, nil
}

func decodeManifests(r io.Reader, name string) ([]manifest, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(r, 4096)
	var all []manifest
	for document := 1; ; document++ {
		where := fmt.Sprintf("%s, document %d", name, document)
		var fields map[string]any
		err := decoder.Decode(&fields)
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("decoding %s: %w; it must be YAML or JSON of Kubernetes objects", where, err)
		}
		objects, err := flatten(fields, where)
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
}

// flatten takes lists apart. A document without fields is none.
func flatten(fields map[string]any, where string) ([]manifest, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	u := &unstructured.Unstructured{Object: fields}
	if u.GetKind() == "" || u.GetAPIVersion() == "" {
		return nil, fmt.Errorf("%s: apiVersion and kind: Required value: it must be an object of Kubernetes", where)
	}
	items, isList := fields["items"].([]any)
	if !isList || !strings.HasSuffix(u.GetKind(), "List") {
		return []manifest{{u, fmt.Sprintf("%s, %s %s", where, u.GetKind(), u.GetName())}}, nil
	}
	var all []manifest
	for i, item := range items {
		fields, _ := item.(map[string]any)
		objects, err := flatten(fields, fmt.Sprintf("%s, items[%d]", where, i))
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return all, nil
}

// decode reads a part of the object, by the path to it, as what it is. ok is false
// when it is not there.
func (m manifest) decode(into any, path ...string) (ok bool, err error) {
	fields, ok, err := unstructured.NestedMap(m.Object, path...)
	if err == nil && ok {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(fields, into)
	}
	if err != nil {
		return false, fmt.Errorf("decoding %s of %s: %w; check it with: kubectl apply --dry-run=server -f", strings.Join(path, "."), m.where, err)
	}
	return ok, nil
}

// templatePaths are where kinds have the template of their pods. A kind that is not
// known has it where most have it, or makes no pods.
var templatePaths = map[string][]string{
	"Pod":         nil,
	"CronJob":     {"spec", "jobTemplate", "spec", "template"},
	"PodTemplate": {"template"},
}

// template returns the pod that the object is or makes; nil when it makes none.
func (m manifest) template() (*corev1.Pod, error) {
	path, known := templatePaths[m.GetKind()]
	if !known {
		path = []string{"spec", "template"}
	}
	containers, ok, _ := unstructured.NestedSlice(m.Object, append(slices.Clone(path), "spec", "containers")...)
	if !ok || len(containers) == 0 {
		return nil, nil
	}
	template := &corev1.PodTemplateSpec{}
	if _, err := m.decode(template, path...); err != nil {
		return nil, err
	}
	return &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}, nil
}

// manifests explains what makes pods. Namespaces and claims among the objects count
// as created. namespace is that of objects that name none.
func (e *explaining) manifests(ctx context.Context, objects []manifest, namespace string) ([]explain.Subject, error) {
	for _, m := range objects {
		if m.GetNamespace() == "" {
			m.SetNamespace(namespace)
		}
		if err := e.addFacts(ctx, m); err != nil {
			return nil, err
		}
	}
	var subjects []explain.Subject
	for _, m := range objects {
		pod, err := m.template()
		switch {
		case err != nil:
			return nil, err
		case pod == nil:
			continue
		}
		s, err := e.manifest(ctx, m, pod)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, s)
	}
	if len(subjects) == 0 {
		return nil, errors.New("--filename: no pods, and nothing that makes pods, in any of the documents; " +
			"name a file with Pods, Deployments, StatefulSets, DaemonSets, Jobs or CronJobs")
	}
	return subjects, nil
}

func (e *explaining) manifest(ctx context.Context, m manifest, pod *corev1.Pod) (explain.Subject, error) {
	switch m.GetKind() {
	case "Pod":
		pod.Name = m.GetName()
	case "StatefulSet":
		pod.Name = m.GetName() + "-0"
		if err := e.addClaims(ctx, m, pod); err != nil {
			return explain.Subject{}, err
		}
	default:
		pod.Name = "" // nobody knows it yet
	}
	s, err := e.source.subject(ctx, pod, m.GetNamespace())
	if err != nil {
		return s, e.explainOthers(ctx, err, m.GetNamespace())
	}
	s.Kind, s.Name = m.GetKind(), m.GetName()
	if s.Facts.Namespace == nil && len(s.Notes) == 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("namespace %s does not exist yet: it is taken as one without a label", m.GetNamespace()))
	}
	return s, nil
}

// addFacts remembers namespaces and claims of the files. What the cluster has of a
// claim, its volume, is kept.
func (e *explaining) addFacts(ctx context.Context, m manifest) error {
	switch m.GroupVersionKind().GroupKind() {
	case corev1.SchemeGroupVersion.WithKind("Namespace").GroupKind():
		meta := &metav1.PartialObjectMetadata{}
		meta.Name, meta.Labels = m.GetName(), m.GetLabels()
		e.source.namespaces[m.GetName()] = found[metav1.PartialObjectMetadata]{object: meta}
	case corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim").GroupKind():
		claim := &corev1.PersistentVolumeClaim{}
		if _, err := m.decode(claim); err != nil {
			return err
		}
		return e.addClaim(ctx, claim)
	}
	return nil
}

func (e *explaining) addClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	old, err := e.source.Claim(ctx, claim.Namespace, claim.Name)
	if err != nil {
		return e.explainOthers(ctx, err, claim.Namespace)
	}
	if old != nil {
		claim.UID, claim.Spec.VolumeName, claim.Status = old.UID, old.Spec.VolumeName, old.Status
	}
	e.source.claims[client.ObjectKeyFromObject(claim)] = found[corev1.PersistentVolumeClaim]{object: claim}
	return nil
}

// addClaims gives the first pod of a StatefulSet the volumes of its claim templates,
// as the controller of StatefulSets does. A claim that exists is not changed by its
// template.
func (e *explaining) addClaims(ctx context.Context, m manifest, pod *corev1.Pod) error {
	set := &appsv1.StatefulSet{}
	if _, err := m.decode(set); err != nil {
		return err
	}
	for i := range set.Spec.VolumeClaimTemplates {
		claim := &set.Spec.VolumeClaimTemplates[i]
		volume := claim.Name
		claim.Namespace, claim.Name = m.GetNamespace(), volume+"-"+pod.Name
		old, err := e.source.Claim(ctx, claim.Namespace, claim.Name)
		switch {
		case err != nil:
			return e.explainOthers(ctx, err, claim.Namespace)
		case old == nil:
			e.source.claims[client.ObjectKeyFromObject(claim)] = found[corev1.PersistentVolumeClaim]{object: claim}
		}
		pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume })
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name},
		}})
	}
	return nil
}
