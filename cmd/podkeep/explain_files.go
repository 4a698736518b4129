package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/explain"
	"github.com/podkeep/podkeep/internal/workloads"
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
		objects, err := readManifest(in, file)
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return all, nil
}

func readManifest(in io.Reader, file string) ([]manifest, error) {
	if file == standardInput {
		return decodeManifests(in, "standard input")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("--filename: %w", err)
	}
	defer func() { _ = f.Close() }()
	return decodeManifests(f, file)
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

// errorf says what is wrong with the object, and what to do.
func (m manifest) errorf(err error) error {
	return fmt.Errorf("%s: %w; check it with: kubectl apply --dry-run=server -f", m.where, err)
}

// template returns the pod that the object is or makes; its Pod is nil when it makes
// none. Kinds that are not Kubernetes' own have the template where most have it.
func (m manifest) template() (workloads.Template, error) {
	kind := m.GroupVersionKind().GroupKind()
	if workloads.Known(kind) {
		raw, err := m.MarshalJSON()
		if err != nil {
			return workloads.Template{}, m.errorf(err)
		}
		t, err := workloads.Decode(kind, raw)
		if err != nil {
			return t, m.errorf(err)
		}
		return t, nil
	}
	containers, ok, _ := unstructured.NestedSlice(m.Object, "spec", "template", "spec", "containers")
	fields, isMap, _ := unstructured.NestedMap(m.Object, "spec", "template")
	if !ok || !isMap || len(containers) == 0 {
		return workloads.Template{}, nil
	}
	template := &corev1.PodTemplateSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, template); err != nil {
		return workloads.Template{}, m.errorf(err)
	}
	return workloads.Template{Pod: &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}}, nil
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
		t, err := m.template()
		switch {
		case err != nil:
			return nil, err
		case t.Pod == nil:
			continue
		}
		s, err := e.manifest(ctx, m, t)
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

func (e *explaining) manifest(ctx context.Context, m manifest, t workloads.Template) (explain.Subject, error) {
	for _, claim := range t.ClaimTemplates {
		if err := e.addTemplate(ctx, claim); err != nil {
			return explain.Subject{}, err
		}
	}
	s, err := e.source.subject(ctx, t.Pod, m.GetNamespace())
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
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m.Object, claim); err != nil {
			return m.errorf(err)
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

// addTemplate remembers a claim that a workload will make, unless it exists: what
// exists is not changed by its template.
func (e *explaining) addTemplate(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	old, err := e.source.Claim(ctx, claim.Namespace, claim.Name)
	switch {
	case err != nil:
		return e.explainOthers(ctx, err, claim.Namespace)
	case old == nil:
		e.source.claims[client.ObjectKeyFromObject(claim)] = found[corev1.PersistentVolumeClaim]{object: claim}
	}
	return nil
}
