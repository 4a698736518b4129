package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// sweep removes what is left in the folder of a backup that never was: its Backup
// was deleted by hand before it was complete, or after it had failed. Only files
// that say that they are interim are removed, of this cluster, and when their
// backup can no longer be running anywhere.
func (p *run) sweep(ctx context.Context, name string) error {
	mark, err := p.readMark(ctx, name)
	if mark == nil || err != nil {
		return err
	}
	if p.location.Spec.AccessMode == velerov1.BackupStorageLocationAccessModeReadOnly || !p.Clock.Now().After(mark.Until.Time) {
		return nil
	}
	ours, err := p.isOurMark(ctx, name, mark)
	if err != nil || !ours {
		return err
	}
	keys, err := p.store.List(ctx, layout.BackupPrefix(name))
	if err != nil || slices.Contains(keys, layout.BackupMetadata(name)) {
		return err // it exists by now
	}
	ctrl.LoggerFrom(ctx).Info("Removing interim files of a backup that does not exist", "Backup", name, "uid", mark.BackupUID, "files", len(keys))
	last := layout.BackupInterim(name)
	for _, key := range append(slices.DeleteFunc(keys, func(key string) bool { return key == last }), last) {
		if err := p.store.Delete(ctx, key); err != nil {
			return fmt.Errorf("removing interim files of backup %s: %w", name, err)
		}
	}
	p.result.swept = append(p.result.swept, name)
	return nil
}

// readMark is nil when the files are not interim, or nobody knows.
func (p *run) readMark(ctx context.Context, name string) (*layout.Interim, error) {
	body, err := p.store.Get(ctx, layout.BackupInterim(name))
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, p.ofOne(name, err)
	}
	mark := &layout.Interim{}
	if err := errors.Join(layout.DecodeJSONGzip(body, mark), body.Close()); err != nil {
		return nil, p.ofOne(name, fmt.Errorf("reading the mark of its interim files: %w", err))
	}
	return mark, nil
}

// isOurMark asks the API server: a cache that is behind may not know the Backup yet.
func (p *run) isOurMark(ctx context.Context, name string, mark *layout.Interim) (bool, error) {
	ns := &corev1.Namespace{}
	if err := p.Reader.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, ns); err != nil {
		return false, inCluster("getting namespace "+metav1.NamespaceSystem, err)
	}
	if string(ns.UID) != mark.Cluster {
		return false, nil
	}
	err := p.Reader.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: name}, &velerov1.Backup{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, inCluster("getting Backup "+name, err)
	}
	return false, nil
}
