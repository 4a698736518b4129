package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// locationOf is the location of a backup; "" when there is no such backup any more.
func (t cluster) locationOf(ctx context.Context, backup string) string {
	b := &velerov1.Backup{}
	if err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: backup}, b); err != nil {
		return ""
	}
	return b.Spec.StorageLocation
}

// certificatesOf are the certificates that a location names for its storage, in
// PEM; none when there is no such location.
func (t cluster) certificatesOf(ctx context.Context, location string) ([]byte, error) {
	if location == "" {
		return nil, nil
	}
	l := &velerov1.BackupStorageLocation{}
	err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: location}, l)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("getting the location: %w", err)
	case l.Spec.ObjectStorage == nil:
		return nil, nil
	case l.Spec.ObjectStorage.CACertRef == nil:
		return l.Spec.ObjectStorage.CACert, nil
	}
	ref, secret := l.Spec.ObjectStorage.CACertRef, &corev1.Secret{}
	if err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: ref.Name}, secret); err != nil {
		return nil, fmt.Errorf("getting Secret %s: %w", ref.Name, err)
	}
	data, ok := secret.Data[ref.Key]
	if !ok {
		return nil, fmt.Errorf("the Secret %s has no key %s", ref.Name, ref.Key)
	}
	return data, nil
}

// locationOfRun is where the files of a backup or restore are.
func (t cluster) locationOfRun(ctx context.Context, obj client.Object) string {
	switch o := obj.(type) {
	case *velerov1.Backup:
		return o.Spec.StorageLocation
	case *velerov1.Restore:
		return t.locationOf(ctx, o.Spec.BackupName)
	default:
		return ""
	}
}
