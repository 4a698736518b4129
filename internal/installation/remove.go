package installation

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// OtherInstallations returns the other namespaces that hold storage locations:
// installations which share the cluster's definitions.
func (i Installer) OtherInstallations(ctx context.Context, namespace string) ([]string, error) {
	locations := &velerov1.BackupStorageLocationList{}
	if err := i.Client.List(ctx, locations); err != nil {
		return nil, ignoreNoKind(err)
	}
	var others []string
	for _, l := range locations.Items {
		if l.Namespace != namespace && !slices.Contains(others, l.Namespace) {
			others = append(others, l.Namespace)
		}
	}
	return others, nil
}

// ReleaseFinalizers removes the given finalizers from the objects of an
// installation whose controllers are gone and can no longer do it.
func (i Installer) ReleaseFinalizers(ctx context.Context, namespace string, finalizers ...string) error {
	lists := []client.ObjectList{&velerov1.PodVolumeBackupList{}, &velerov1.PodVolumeRestoreList{}, &velerov1.RestoreList{}}
	for _, list := range lists {
		if err := i.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
			if ignoreNoKind(err) == nil {
				continue
			}
			return fmt.Errorf("listing objects with finalizers: %w", err)
		}
		if err := meta.EachListItem(list, i.release(ctx, finalizers)); err != nil {
			return err
		}
	}
	return nil
}

func (i Installer) release(ctx context.Context, finalizers []string) func(runtime.Object) error {
	return func(o runtime.Object) error {
		obj, ok := o.(client.Object)
		if !ok {
			return nil
		}
		before := obj.DeepCopyObject().(client.Object) //nolint:forcetypeassert // a copy has the type of the original
		changed := false
		for _, f := range finalizers {
			changed = controllerutil.RemoveFinalizer(obj, f) || changed
		}
		if !changed {
			return nil
		}
		if err := i.Client.Patch(ctx, obj, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("releasing %s: %w", obj.GetName(), err)
		}
		return nil
	}
}

func ignoreNoKind(err error) error {
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// WaitRemoved returns when the namespace is gone.
func (i Installer) WaitRemoved(ctx context.Context, namespace string) error {
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		err := i.Client.Get(ctx, client.ObjectKey{Name: namespace}, &corev1.Namespace{})
		return apierrors.IsNotFound(err), nil
	})
	if err != nil {
		return fmt.Errorf("namespace %s is still there: %w; look at its conditions with: kubectl get namespace %s -o yaml", namespace, err, namespace)
	}
	return nil
}
