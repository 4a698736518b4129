package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// complete adds to a created object what cannot be created with it: its status,
// when that is wanted, and who manages its fields.
func (p *pass) complete(ctx context.Context, c *creation) {
	wanted, problem := p.selection.wantsStatus(c.ref.GroupResource, c.archived)
	if problem != "" {
		c.warnings = append(c.warnings, errors.New(problem))
	}
	if status, ok := c.archived.Object["status"]; ok && wanted && !isPodWithGate(c.prepared) {
		if err := p.patchStatus(ctx, c.created, status); err != nil {
			c.warnings = append(c.warnings, fmt.Errorf("restoring the status: %w", err))
		}
	}
	if managed := c.archived.GetManagedFields(); hasApplier(managed) {
		if err := p.patchManagers(ctx, c.created, managed); err != nil {
			ctrl.LoggerFrom(ctx).V(1).Info("Leaving out managed fields", "item", c.ref.String(), "reason", err.Error())
		}
	}
}

// patchStatus writes the status of an object, which for kinds without the
// subresource is a field like any other.
func (p *pass) patchStatus(ctx context.Context, obj *unstructured.Unstructured, status any) error {
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return fmt.Errorf("encoding the status: %w", err)
	}
	raw := client.RawPatch(types.MergePatchType, patch)
	err = p.Client.Status().Patch(ctx, obj.DeepCopy(), raw)
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		err = p.Client.Patch(ctx, obj.DeepCopy(), raw)
	}
	return err
}

// hasApplier reports whether somebody owns fields by server-side apply: without
// the record, the next apply would meet a conflict with the restore.
func hasApplier(managed []metav1.ManagedFieldsEntry) bool {
	for _, entry := range managed {
		if entry.Operation == metav1.ManagedFieldsOperationApply {
			return true
		}
	}
	return false
}

func (p *pass) patchManagers(ctx context.Context, obj *unstructured.Unstructured, managed []metav1.ManagedFieldsEntry) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"managedFields": managed}})
	if err != nil {
		return fmt.Errorf("encoding managed fields: %w", err)
	}
	return p.Client.Patch(ctx, obj.DeepCopy(), client.RawPatch(types.MergePatchType, patch))
}
