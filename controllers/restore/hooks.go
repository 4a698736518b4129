package restore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/hooks"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
)

// addInitHooks puts the init containers that hooks ask for before those of the pod.
// The webhook puts the gate before all of them. A pod that cannot have what it asks
// for is not restored: it must not start without. It reports whether the pod can be.
func (p *pass) addInitHooks(i item) bool {
	pod, err := toPod(i.prepared)
	if err != nil {
		return true // the API server says what is wrong with it
	}
	containers, problems := hooks.InitContainers(pod, p.namespacesOf(i), p.restore)
	if len(problems) > 0 {
		for _, problem := range problems {
			p.log.Error(i.entry("not restored, because it would start without an init container that it asks for", errors.New(problem.String())))
		}
		p.block(i.archived)
		p.done(podKind, i.prepared.GetNamespace(), i.ref.Name, layout.RestoreActionFailed)
		return false
	}
	if len(containers) > 0 {
		setInitContainers(i.prepared, containers)
	}
	return true
}

// namespacesOf are the namespace of an item in the backup and its new one: hooks
// may name either.
func (p *pass) namespacesOf(i item) []string {
	return []string{i.ref.Namespace, p.target.Namespaces.Target(i.ref.Namespace)}
}

// setInitContainers puts containers first. They replace those of an earlier
// restore: of the same name, or with a name that hooks make up.
func setInitContainers(pod *unstructured.Unstructured, containers []map[string]any) {
	var all []any
	names := map[string]bool{}
	for _, c := range containers {
		name, _ := c["name"].(string) // checked when the hooks were read
		names[name] = true
		all = append(all, c)
	}
	existing, _, _ := unstructured.NestedSlice(pod.Object, "spec", "initContainers") // a wrong type is none; the server judges it
	for _, e := range existing {
		c, _ := e.(map[string]any)
		name, _ := c["name"].(string)
		if !names[name] && !strings.HasPrefix(name, hooks.InitNamePrefix) {
			all = append(all, e)
		}
	}
	spec, _, _ := unstructured.NestedMap(pod.Object, "spec")
	spec["initContainers"] = all
	pod.Object["spec"] = spec
}

// addHooks makes the record of the commands that are to be run in a restored pod.
func (p *pass) addHooks(ctx context.Context, i item, created *unstructured.Unstructured) error {
	pod, err := toPod(created)
	if err != nil {
		return fmt.Errorf("reading created %s: %w", i.ref, err)
	}
	found := hooks.ForRestore(pod, p.namespacesOf(i), p.restore.Spec.Hooks)
	for _, w := range found.Warnings {
		p.log.Warn(i.entry(w.String(), nil))
	}
	if len(found.Hooks) == 0 {
		return nil
	}
	cm, err := newHookRecord(p.restore, pod, hooks.Record{Before: p.hookRecords}, found.Hooks)
	if err != nil {
		return err
	}
	if err := p.Client.Create(ctx, cm); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating the record of the hooks of %s: %w", i.ref, err)
	}
	p.hookRecords++
	p.log.Info("Hooks are to be run", "item", i.ref.String(), "hooks", len(found.Hooks), "record", cm.Name)
	return nil
}

// newHookRecord is the record of one pod. Its name depends on the pod only, so that
// it is made once.
func newHookRecord(r *velerov1.Restore, pod *corev1.Pod, record hooks.Record, found []hooks.Hook) (*corev1.ConfigMap, error) {
	record.Add(hooks.Pod{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}, found)
	cm, err := hookrun.New(metav1.ObjectMeta{
		Namespace: r.Namespace,
		Name:      nameOfHooks(r.Name, pod.UID),
		Labels: map[string]string{
			velerov1.RestoreNameLabel: velerov1.ValidLabelValue(r.Name),
			velerov1.RestoreUIDLabel:  string(r.UID),
		},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: velerov1.SchemeGroupVersion.String(), Kind: "Restore", Name: r.Name, UID: r.UID,
		}},
	}, record)
	if err == nil {
		hookrun.SetPhase(cm, velerov1.HooksRunning) // no pod waits for another
	}
	return cm, err
}

func nameOfHooks(restore string, pod types.UID) string {
	sum := sha256.Sum256([]byte(pod))
	const suffix = "-hooks-"
	prefix := restore[:min(len(restore), maxNameBytes-len(suffix)-nameHashDigits)]
	return strings.TrimRight(prefix, ".-") + suffix + hex.EncodeToString(sum[:])[:nameHashDigits]
}

// noteHooks says in the status that there are hooks; the end counts them.
func (p *pass) noteHooks() {
	if p.hookRecords > 0 {
		p.restore.Status.HookStatus = &velerov1.HookStatus{}
	}
}

// observeHooks returns how many pods have hooks left to run. A restore without
// hooks, which its status says, costs nothing.
func (r *Reconciler) observeHooks(ctx context.Context, restore *velerov1.Restore) (int, error) {
	if restore.Status.HookStatus == nil || restore.IsFinished() {
		return 0, nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	err := r.Reader.List(ctx, list, client.InNamespace(r.Namespace), client.HasLabels{velerov1.HooksLabel},
		client.MatchingLabels{velerov1.RestoreUIDLabel: string(restore.UID)})
	if err != nil {
		return 0, fmt.Errorf("listing records of hooks: %w", err)
	}
	left := 0
	for _, m := range list.Items {
		if m.Labels[velerov1.HooksLabel] != velerov1.HooksEnded {
			left++
		}
	}
	return left, nil
}

// recordHooks adds to log and results what came of the hooks, and counts them.
func (r *Reconciler) recordHooks(ctx context.Context, log *itemlog.Log, restore *velerov1.Restore) error {
	if restore.Status.HookStatus == nil {
		return nil
	}
	list := &corev1.ConfigMapList{}
	err := r.Reader.List(ctx, list, client.InNamespace(r.Namespace), client.HasLabels{velerov1.HooksLabel},
		client.MatchingLabels{velerov1.RestoreUIDLabel: string(restore.UID)})
	if err != nil {
		return fmt.Errorf("listing records of hooks: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.ConfigMap) int { return strings.Compare(a.Name, b.Name) })
	var sum velerov1.HookStatus
	for i := range list.Items {
		book := hookrun.Open(&list.Items[i])
		if book.Broken != nil {
			log.ErrorOnce(itemlog.Entry{Message: "Record " + list.Items[i].Name + " of hooks cannot be read", Err: book.Broken})
			continue
		}
		for _, run := range book.Record.Runs {
			hookrun.Log(log, book.Record.Pods[run.Pod], run)
		}
		counts := book.Record.Count()
		sum.HooksAttempted += counts.HooksAttempted
		sum.HooksFailed += counts.HooksFailed
	}
	restore.Status.HookStatus = &sum
	return nil
}
