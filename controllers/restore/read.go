package restore

import (
	"context"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/archive"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/outcome"
)

// read gets everything that the bucket and the cluster know of the backup, and
// decides what of it is restored.
func (p *pass) read(ctx context.Context) error {
	store, _, err := p.Locations.Store(ctx, p.backup.Spec.StorageLocation)
	if err != nil {
		return waitForStorage("opening the storage location", err)
	}
	p.store = store
	if err := p.readClasses(ctx); err != nil {
		return err
	}
	if err := p.readMappings(ctx); err != nil {
		return err
	}
	if err := p.readModifiers(ctx); err != nil {
		return err
	}
	if err := p.readVolumes(ctx); err != nil {
		return err
	}
	if err := p.extract(ctx); err != nil { // last: the caller removes what it leaves on disk
		return err
	}
	err = p.readSelection(ctx)
	if err == nil {
		p.expected, err = p.selection.count()
	}
	if err != nil {
		return errors.Join(err, p.archive.Close())
	}
	return nil
}

// extract spreads the archive over the scratch directory.
func (p *pass) extract(ctx context.Context) error {
	body, err := p.store.Get(ctx, layout.BackupContents(p.backup.Name))
	if errors.Is(err, objectstore.ErrNotFound) {
		return outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "reading the archive: %w", err)
	}
	if err != nil {
		return waitForStorage("reading the archive", err)
	}
	p.archive, err = archive.Extract(stoppable{reader: body, tick: func() error { return p.tick(ctx) }}, p.Options.ScratchDir, archive.Limits{})
	err = errors.Join(err, body.Close())
	if errors.Is(err, errStopped) {
		return errStopped
	}
	for _, damage := range []error{archive.ErrCorrupt, archive.ErrUnsafe, archive.ErrVersion, archive.ErrTooLarge} {
		if errors.Is(err, damage) && !isBrokenTransfer(err) {
			return outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "reading the archive: %w", err)
		}
	}
	if err != nil {
		return waitForStorage("reading the archive", err)
	}
	return nil
}

// stoppable lets a restore that is to stop end a long transfer.
type stoppable struct {
	reader io.Reader
	tick   func() error
}

func (s stoppable) Read(b []byte) (int, error) {
	if err := s.tick(); err != nil {
		return 0, err
	}
	return s.reader.Read(b)
}

// isBrokenTransfer reports whether a transfer broke off, which also looks like a
// truncated archive.
func isBrokenTransfer(err error) bool {
	return errors.Is(err, objectstore.ErrUnavailable) || errors.Is(err, objectstore.ErrAccessDenied) || errors.Is(err, context.Canceled)
}

// readClasses learns what the cluster provisions.
func (p *pass) readClasses(ctx context.Context) error {
	list := &storagev1.StorageClassList{}
	if err := p.Reader.List(ctx, list); err != nil {
		return fmt.Errorf("listing StorageClasses: %w", err)
	}
	p.classes = map[string]string{}
	for _, c := range list.Items {
		p.classes[c.Name] = c.Provisioner
	}
	return nil
}

// readMappings reads the ConfigMaps that change storage classes and images
// (velero-facts §11.6). What is wrong with one is an error in the results: items
// are restored without it.
func (p *pass) readMappings(ctx context.Context) error {
	classes, err := p.mapping(ctx, velerov1.ChangeStorageClassLabel)
	if err != nil {
		return err
	}
	p.target.StorageClasses = classes.Data
	images, err := p.mapping(ctx, velerov1.ChangeImageNameLabel)
	if err != nil {
		return err
	}
	rules, problems := items.ParseImageRules(images.Data)
	for _, problem := range problems {
		p.log.Error(itemlog.Entry{Message: "ConfigMap " + images.Name + ": " + problem})
	}
	p.target.Images = rules
	return nil
}

// mapping returns the one ConfigMap with a label, an empty one when there is none
// or nobody knows which.
func (p *pass) mapping(ctx context.Context, label string) (corev1.ConfigMap, error) {
	list := &corev1.ConfigMapList{}
	err := p.Reader.List(ctx, list, client.InNamespace(p.Namespace), client.HasLabels{velerov1.PluginConfigLabel},
		client.MatchingLabels{label: velerov1.RestoreItemActionKind})
	switch {
	case err != nil:
		return corev1.ConfigMap{}, fmt.Errorf("listing ConfigMaps with the label %s: %w", label, err)
	case len(list.Items) == 0:
		return corev1.ConfigMap{}, nil
	case len(list.Items) > 1:
		p.log.Error(itemlog.Entry{Message: fmt.Sprintf("ConfigMaps %s and %s both have the label %s, so none of them is used; delete one",
			list.Items[0].Name, list.Items[1].Name, label)})
		return corev1.ConfigMap{}, nil
	default:
		return list.Items[0], nil
	}
}

// readVolumes learns which volumes have data, from the cluster and the bucket.
func (p *pass) readVolumes(ctx context.Context) error {
	var err error
	p.data, err = p.backupData(ctx, p.backup, p.store)
	return err
}

// backupData reads what a backup knows of its volumes, from the cluster and the
// bucket.
func (r *Reconciler) backupData(ctx context.Context, backup *velerov1.Backup, store objectstore.Store) (backupData, error) {
	inCluster := &velerov1.PodVolumeBackupList{}
	if err := r.Reader.List(ctx, inCluster, client.InNamespace(r.Namespace),
		client.MatchingLabels{velerov1.BackupNameLabel: velerov1.ValidLabelValue(backup.Name)}); err != nil {
		return backupData{}, fmt.Errorf("listing PodVolumeBackups: %w", err)
	}
	var inBucket []velerov1.PodVolumeBackup
	if err := readJSON(ctx, store, layout.BackupPodVolumeBackups(backup.Name), &inBucket); err != nil {
		return backupData{}, unreadable("reading the list of volumes", err)
	}
	var infos layout.VolumeInfoList
	if err := readJSON(ctx, store, layout.BackupVolumeInfo(backup.Name), &infos); err != nil {
		return backupData{}, unreadable("reading the volume information", err)
	}
	return newBackupData(mergeVolumes(inCluster.Items, inBucket), infos), nil
}

// unreadable makes an error of a file of the backup one that is tried again, unless
// the file is damaged.
func unreadable(doing string, err error) error {
	isDamaged := errors.Is(err, layout.ErrCorrupt) || errors.Is(err, layout.ErrTooLarge)
	if isDamaged && !isBrokenTransfer(err) {
		return outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "%s: %w", doing, err)
	}
	return waitForStorage(doing, err)
}

// readJSON reads a file of the bucket into v, which stays as it is when the file
// does not exist.
func readJSON(ctx context.Context, store objectstore.Store, key string, v any) error {
	body, err := store.Get(ctx, key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(layout.DecodeJSONGzip(body, v), body.Close())
}
