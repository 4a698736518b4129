package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/outcome"
)

var namespaceKind = corev1.SchemeGroupVersion.WithKind("Namespace")

// prepareNamespaces makes the target namespaces, before any item, and marks those
// that will get pods.
func (p *pass) prepareNamespaces(ctx context.Context) error {
	inBackup, err := p.namespacesInArchive()
	if err != nil {
		return outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "reading the archive: %w", err)
	}
	for _, name := range unmatched(p.restore.Spec.IncludedNamespaces, inBackup) {
		p.log.Warn(itemlog.Entry{Message: fmt.Sprintf("spec.includedNamespaces: %q is not in the backup", name)})
	}
	selected, err := p.selection.wantedNamespaces(inBackup)
	if err != nil {
		return outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "reading the archive: %w", err)
	}
	if a, b, ok := p.target.Namespaces.Collision(selected); ok {
		return outcome.Terminalf(velerov1.ReasonNamespaceCollision, "spec.namespaceMapping: namespaces %s and %s of the backup would both become %s",
			a, b, p.target.Namespaces.Target(a))
	}
	var withPods []string
	if p.selection.leavesOutKind(podsResource) == "" {
		if withPods, err = p.archive.Namespaces(podsResource); err != nil {
			return outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "reading the archive: %w", err)
		}
	}
	for _, source := range selected {
		if err := p.prepareNamespace(ctx, source, slices.Contains(withPods, source)); err != nil {
			return err
		}
	}
	return nil
}

// unmatched returns the names and patterns that none of the namespaces fit.
func unmatched(patterns, namespaces []string) []string {
	return keep(patterns, func(pattern string) bool {
		f := filter.New(filter.Filters{Namespaces: filter.Lists{Includes: []string{pattern}}}, filter.Catalog{})
		return pattern != everything && !slices.ContainsFunc(namespaces, func(ns string) bool { return f.Namespace(ns).Included })
	})
}

// namespacesInArchive are the namespaces that the archive has items in, or as
// items, sorted.
func (p *pass) namespacesInArchive() ([]string, error) {
	var all []string
	for _, gr := range p.archive.Resources() {
		names, err := p.archive.Namespaces(gr)
		if err != nil {
			return nil, err
		}
		all = append(all, names...)
	}
	for ref, err := range p.archive.Items(namespacesResource) {
		if err != nil {
			return nil, err
		}
		all = append(all, ref.Name)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// prepareNamespace makes one target namespace.
func (p *pass) prepareNamespace(ctx context.Context, source string, withPods bool) error {
	target := p.target.Namespaces.Target(source)
	existing := &corev1.Namespace{}
	err := p.Reader.Get(ctx, client.ObjectKey{Name: target}, existing)
	switch {
	case apierrors.IsNotFound(err):
		return p.createNamespace(ctx, source, withPods)
	case err != nil:
		return fmt.Errorf("getting namespace %s: %w", target, err)
	case existing.DeletionTimestamp != nil:
		p.refuseTerminating(target)
		return nil
	}
	action := layout.RestoreActionSkipped
	if p.isOurs(existing) {
		p.fresh[target] = true
		action = layout.RestoreActionCreated
	} else if changed, err := p.updateNamespace(ctx, source, existing); err != nil {
		return err
	} else if changed {
		action = layout.RestoreActionUpdated
	}
	p.done(namespaceKind, "", target, action)
	if !withPods {
		return nil
	}
	return p.markNamespace(ctx, existing)
}

// updateNamespace gives an existing namespace the labels and annotations of the
// backup, when the restore changes what exists. It takes none away.
func (p *pass) updateNamespace(ctx context.Context, source string, existing *corev1.Namespace) (changed bool, err error) {
	if p.restore.Spec.ExistingResourcePolicy != velerov1.PolicyTypeUpdate {
		return false, nil
	}
	wanted, err := p.newNamespace(source)
	if err != nil {
		return false, err
	}
	before := existing.DeepCopy()
	existing.Labels = withAll(existing.Labels, wanted.GetLabels())
	existing.Annotations = withAll(existing.Annotations, wanted.GetAnnotations())
	if equality.Semantic.DeepEqual(before, existing) {
		return false, nil
	}
	if err := p.Client.Patch(ctx, existing, client.MergeFrom(before)); err != nil {
		return false, fmt.Errorf("updating namespace %s: %w", existing.Name, err)
	}
	p.log.Info("Updated namespace", "namespace", existing.Name)
	return true, nil
}

func withAll(to, from map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, to)
	maps.Copy(all, from)
	return all
}

// refuseTerminating waits for a namespace that is being deleted, for a while.
func (p *pass) refuseTerminating(target string) {
	e := itemlog.Entry{Cluster: true, Resource: namespacesResource.Resource, Name: target, Message: "not restored",
		Err: errors.New("the namespace is being deleted; see what holds it up: kubectl get namespace " + target + " -o yaml")}
	if p.postpone(velerov1.ReasonNamespaceTerminating, e) {
		return
	}
	p.done(namespaceKind, "", target, layout.RestoreActionFailed)
	p.unusable[target] = true
}

// newNamespace is a namespace as the archive has it, or a blank one when the
// archive has only items in it.
func (p *pass) newNamespace(source string) (*unstructured.Unstructured, error) {
	archived, err := p.archive.Item(namespacesResource, "", source).Read()
	if errors.Is(err, fs.ErrNotExist) {
		archived = &unstructured.Unstructured{}
		archived.SetGroupVersionKind(namespaceKind)
		archived.SetName(source)
	} else if err != nil {
		return nil, outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "reading the archive: %w", err)
	}
	ns, _ := p.target.Prepare(archived) // no namespace is left out
	return ns, nil
}

func (p *pass) createNamespace(ctx context.Context, source string, withPods bool) error {
	ns, err := p.newNamespace(source)
	if err != nil {
		return err
	}
	if withPods {
		items.SetLabel(ns, velerov1.RestoringLabel, velerov1.ValidLabelValue(p.restore.Name))
	}
	if err := p.Client.Create(ctx, ns); err != nil { // also when somebody was faster since Get: the next pass sees it
		return fmt.Errorf("creating namespace %s: %w", ns.GetName(), err)
	}
	p.fresh[ns.GetName()] = true
	p.log.Info("Created namespace", "namespace", ns.GetName())
	p.done(namespaceKind, "", ns.GetName(), layout.RestoreActionCreated)
	return nil
}

// markNamespace tells the webhook that pods are being restored here. Another
// restore's mark does as well: the webhook looks at the key only.
func (p *pass) markNamespace(ctx context.Context, ns *corev1.Namespace) error {
	if ns.Labels[velerov1.RestoringLabel] != "" {
		return nil
	}
	before := ns.DeepCopy()
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[velerov1.RestoringLabel] = velerov1.ValidLabelValue(p.restore.Name)
	if err := p.Client.Patch(ctx, ns, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("labelling namespace %s: %w", ns.Name, err)
	}
	return nil
}

// release ends what a restore holds that does not come to its regular end: claims
// that it leaves without all of their data say so, and namespaces without such
// claims lose their marks.
func (r *Reconciler) release(ctx context.Context, o observed) error {
	if err := r.markClaims(ctx, o, nil); err != nil {
		return err
	}
	return r.unmarkNamespaces(ctx, o.restore)
}

// unmarkNamespaces removes the marks of this restore. A namespace in which another
// restore still fills volumes gets that one's; one with claims that lack data keeps
// its own, because the webhook keeps pods off them.
func (r *Reconciler) unmarkNamespaces(ctx context.Context, restore *velerov1.Restore) error {
	list := &corev1.NamespaceList{}
	if err := r.Reader.List(ctx, list, client.MatchingLabels{velerov1.RestoringLabel: velerov1.ValidLabelValue(restore.Name)}); err != nil {
		return fmt.Errorf("listing namespaces of the restore: %w", err)
	}
	if len(list.Items) == 0 {
		return nil
	}
	others, err := r.othersFilling(ctx, restore)
	if err != nil {
		return err
	}
	incomplete, err := r.incompleteNamespaces(ctx)
	if err != nil {
		return err
	}
	for _, ns := range list.Items {
		before := ns.DeepCopy()
		if heir, ok := others[ns.Name]; ok {
			ns.Labels[velerov1.RestoringLabel] = heir
		} else if incomplete[ns.Name] {
			continue
		} else {
			delete(ns.Labels, velerov1.RestoringLabel)
		}
		if err := r.Client.Patch(ctx, &ns, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("removing the label %s from namespace %s: %w", velerov1.RestoringLabel, ns.Name, err)
		}
	}
	return nil
}

// othersFilling returns, by namespace, the label of a restore other than this one
// that still fills volumes there.
func (r *Reconciler) othersFilling(ctx context.Context, restore *velerov1.Restore) (map[string]string, error) {
	list := &velerov1.PodVolumeRestoreList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		return nil, fmt.Errorf("listing PodVolumeRestores: %w", err)
	}
	others := map[string]string{}
	for n := range list.Items {
		v := &list.Items[n]
		if !v.IsFinished() && v.Labels[velerov1.RestoreUIDLabel] != string(restore.UID) {
			others[v.Spec.Pod.Namespace] = v.Labels[velerov1.RestoreNameLabel]
		}
	}
	return others, nil
}
