package restore

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// ownObjects are the objects of one kind that an earlier pass of this restore
// made.
type ownObjects map[types.NamespacedName]*unstructured.Unstructured

func (o ownObjects) find(prepared *unstructured.Unstructured) (*unstructured.Unstructured, bool) {
	own, ok := o[types.NamespacedName{Namespace: prepared.GetNamespace(), Name: prepared.GetName()}]
	return own, ok
}

// pageSize is how many objects one list request returns.
const pageSize = 500

// findMade lists, in a pass that is not the first, what earlier ones have made of
// the kinds in a batch: one request for a kind instead of two for each item. What
// it does not find is created as in the first pass, so it may be incomplete.
func (p *pass) findMade(ctx context.Context, batch []creation) error {
	if p.restore.Status.Progress == nil {
		return nil // written by every pass that takes longer than a second
	}
	for _, c := range batch {
		gvk := c.prepared.GroupVersionKind()
		if _, known := p.made[gvk]; known || gvk == podKind || p.selection.status != nil {
			continue // of pods more than the metadata is needed, and a status must be looked at
		}
		own, err := p.listMade(ctx, gvk)
		if err != nil {
			return err
		}
		p.made[gvk] = own
	}
	return nil
}

func (p *pass) listMade(ctx context.Context, gvk schema.GroupVersionKind) (ownObjects, error) {
	own := ownObjects{}
	page := ""
	for {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		err := p.Reader.List(ctx, list, client.Limit(pageSize), client.Continue(page),
			client.MatchingLabels{velerov1.RestoreNameLabel: velerov1.ValidLabelValue(p.restore.Name)})
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("listing restored %s: %w", gvk.Kind, err)
		case err != nil: // a kind that cannot be listed, or not now
			ctrl.LoggerFrom(ctx).V(1).Info("Looking at restored objects one by one", "kind", gvk.String(), "reason", err.Error())
			return own, nil
		}
		for n := range list.Items {
			if m := &list.Items[n]; p.isOurs(m) {
				own[types.NamespacedName{Namespace: m.Namespace, Name: m.Name}] = metadataOf(gvk, m)
			}
		}
		if page = list.Continue; page == "" {
			return own, nil
		}
	}
}

// metadataOf is the part of an object that is looked at when it is this restore's.
func metadataOf(gvk schema.GroupVersionKind, m *metav1.PartialObjectMetadata) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	u.SetNamespace(m.Namespace)
	u.SetName(m.Name)
	u.SetUID(m.UID)
	u.SetLabels(m.Labels)
	u.SetAnnotations(m.Annotations)
	u.SetCreationTimestamp(m.CreationTimestamp)
	return u
}
