package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/archive"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/outcome"
)

// pass writes the items of one restore once. A pass that is repeated, because
// something was not ready or the server was stopped, finds what the last one made
// and comes to the same results.
type pass struct {
	*Reconciler

	restore *velerov1.Restore
	backup  *velerov1.Backup
	now     time.Time
	lastTry bool // nothing is postponed any more

	store   objectstore.Store
	archive *archive.Extracted
	target  items.Target

	// What the backup has beyond its archive.
	volumes     []velerov1.PodVolumeBackup // sorted by pod and volume
	volumeInfos layout.VolumeInfoList
	classes     map[string]string // storage class to provisioner

	// What the pass has made so far.
	log          *itemlog.Log
	list         layout.ResourceList
	progress     velerov1.RestoreProgress
	postponed    []postponement
	unusable     map[string]bool                    // target namespaces that items cannot be created in
	claims       map[types.NamespacedName]types.UID // claims in the cluster
	podsSeen     map[types.NamespacedName]bool      // pods of the archive, by their names in the backup, that are in the cluster
	repositories map[string]bool                    // source namespaces whose repository is ensured
	blocked      map[owner]bool                     // workloads that would start pods without their data
	webhookErr   error                              // why the webhook did not answer, or nil
}

// restoreItems writes all items, and uploads what there is to say about them. It
// returns an error of class Wait when something was not ready.
func (r *Reconciler) restoreItems(ctx context.Context, o observed, lastTry bool) error {
	err := r.runPass(ctx, o, lastTry)
	if err != nil && lastTry && !outcome.IsTerminal(err) {
		err = outcome.Terminalf(velerov1.ReasonTimeout, "timed out after %s: %w", o.volumeTimeout, err)
	}
	if outcome.IsTerminal(err) {
		return errors.Join(err, r.unmarkNamespaces(ctx, o.restore))
	}
	return err
}

func (r *Reconciler) runPass(ctx context.Context, o observed, lastTry bool) (err error) {
	p := &pass{
		Reconciler: r, restore: o.restore, backup: o.backup, now: o.now, lastTry: lastTry,
		target:       targetOf(o.restore, o.backup),
		list:         layout.ResourceList{},
		unusable:     map[string]bool{},
		claims:       map[types.NamespacedName]types.UID{},
		podsSeen:     map[types.NamespacedName]bool{},
		repositories: map[string]bool{},
		blocked:      map[owner]bool{},
	}
	if p.log, err = itemlog.New(r.logOptions(o.restore)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.log.Close()) }()
	if err := p.read(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.archive.Close()) }()
	if err := p.run(ctx); err != nil {
		return err
	}
	if err := p.wait(); err != nil {
		return err
	}
	if err := p.upload(ctx); err != nil {
		return waitForStorage("uploading interim results", err)
	}
	o.restore.Status.Progress = &p.progress
	o.restore.Status.Warnings, o.restore.Status.Errors = p.log.Counts()
	return nil
}

func targetOf(r *velerov1.Restore, b *velerov1.Backup) items.Target {
	return items.Target{
		BackupName:  b.Name,
		RestoreName: r.Name,
		Namespaces: items.Namespaces{
			Included: r.Spec.IncludedNamespaces,
			Excluded: r.Spec.ExcludedNamespaces,
			Mapping:  r.Spec.NamespaceMapping,
		},
		KeptVolumes: map[string]bool{},
	}
}

func (r *Reconciler) logOptions(restore *velerov1.Restore) itemlog.Options {
	return itemlog.Options{Dir: r.Options.ScratchDir, Clock: r.Clock, Fields: []any{"restore", restore.Namespace + "/" + restore.Name}}
}

// run writes the items in order.
func (p *pass) run(ctx context.Context) error {
	p.log.Info("Restoring items", "backup", p.backup.Name)
	if err := p.prepareNamespaces(ctx); err != nil {
		return err
	}
	for _, gr := range items.Order(p.archive.Resources()) {
		if len(p.postponed) > 0 {
			return nil // what comes later needs what came before: workloads would make pods of their own
		}
		if err := p.restoreResource(ctx, gr); err != nil {
			return err
		}
	}
	p.reportForgottenVolumes()
	return nil
}

// restoreResource writes the items of one resource.
func (p *pass) restoreResource(ctx context.Context, gr schema.GroupResource) error {
	if reason := items.ExcludedResource(gr); reason != "" {
		p.log.Info("Leaving out resource", "resource", gr.String(), "reason", reason)
		return nil
	}
	clusterScoped := 0
	for ref, err := range p.archive.Items(gr) {
		switch {
		case err != nil:
			return outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "reading the archive: %w", err)
		case gr.Group == "" && gr.Resource == "namespaces": // prepareNamespaces did them
		case ref.Namespace == "" && !items.NeedsNoNamespace(gr):
			clusterScoped++
		case ref.Namespace != "" && !p.target.Namespaces.Selects(ref.Namespace):
			p.log.Info("Leaving out item", "item", ref.String(), "reason", "namespace is not selected")
		default:
			if err := p.restoreRef(ctx, ref); err != nil {
				return err
			}
		}
	}
	if clusterScoped > 0 {
		p.log.Warn(itemlog.Entry{Cluster: true, Resource: gr.String(), Message: fmt.Sprintf(
			"%d items without a namespace are not restored: this version of podkeep restores namespaces and persistent volumes only", clusterScoped)})
	}
	return nil
}

// read gets everything that the bucket and the cluster know of the backup.
func (p *pass) read(ctx context.Context) error {
	store, _, err := p.Locations.Store(ctx, p.backup.Spec.StorageLocation)
	if err != nil {
		return waitForStorage("opening the storage location", err)
	}
	p.store = store
	if err := p.readClasses(ctx); err != nil {
		return err
	}
	if err := p.readVolumes(ctx); err != nil {
		return err
	}
	return p.extract(ctx) // last: the caller removes what it leaves on disk
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
	p.archive, err = archive.Extract(body, p.Options.ScratchDir, archive.Limits{})
	err = errors.Join(err, body.Close())
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

// readVolumes learns which volumes have data, from the cluster and the bucket.
func (p *pass) readVolumes(ctx context.Context) error {
	inCluster := &velerov1.PodVolumeBackupList{}
	if err := p.Reader.List(ctx, inCluster, client.InNamespace(p.Namespace),
		client.MatchingLabels{velerov1.BackupNameLabel: velerov1.ValidLabelValue(p.backup.Name)}); err != nil {
		return fmt.Errorf("listing PodVolumeBackups: %w", err)
	}
	var inBucket []velerov1.PodVolumeBackup
	if err := readJSON(ctx, p.store, layout.BackupPodVolumeBackups(p.backup.Name), &inBucket); err != nil {
		return waitForStorage("reading the list of volumes", err)
	}
	if err := readJSON(ctx, p.store, layout.BackupVolumeInfo(p.backup.Name), &p.volumeInfos); err != nil {
		return waitForStorage("reading the volume information", err)
	}
	p.volumes = mergeVolumes(inCluster.Items, inBucket)
	return nil
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

// upload writes what there is to say about the items; finish completes it.
func (p *pass) upload(ctx context.Context) error {
	p.list.Sort()
	if err := putJSON(ctx, p.store, layout.RestoreResourceList(p.restore.Name), p.list); err != nil {
		return err
	}
	return uploadLog(ctx, p.store, p.restore.Name, p.log)
}

// uploadLog writes log and results.
func uploadLog(ctx context.Context, store objectstore.Store, restore string, log *itemlog.Log) error {
	lines, err := log.Open()
	if err != nil {
		return err
	}
	if err := errors.Join(store.Put(ctx, layout.RestoreLog(restore), lines), lines.Close()); err != nil {
		return err
	}
	return putJSON(ctx, store, layout.RestoreResults(restore), log.Results())
}

func putJSON(ctx context.Context, store objectstore.Store, key string, v any) error {
	var content bytes.Buffer
	if err := layout.EncodeJSONGzip(&content, v); err != nil {
		return fmt.Errorf("encoding %s: %w", key, err)
	}
	return store.Put(ctx, key, &content)
}

// resumeLog goes on with the log and the results in the bucket.
func (r *Reconciler) resumeLog(ctx context.Context, store objectstore.Store, restore *velerov1.Restore) (*itemlog.Log, error) {
	var results layout.Results
	if err := readJSON(ctx, store, layout.RestoreResults(restore.Name), &results); err != nil {
		return nil, err
	}
	lines, err := store.Get(ctx, layout.RestoreLog(restore.Name))
	if errors.Is(err, objectstore.ErrNotFound) {
		lines, err = io.NopCloser(bytes.NewReader(nil)), nil
	}
	if err != nil {
		return nil, err
	}
	log, err := itemlog.Resume(r.logOptions(restore), lines, results)
	return log, errors.Join(err, lines.Close())
}

// reportForgottenVolumes warns of data whose pod is not in the cluster: pods that
// had finished, or that the archive does not have.
func (p *pass) reportForgottenVolumes() {
	forgotten := map[types.NamespacedName][]string{}
	for _, v := range p.volumes {
		source := types.NamespacedName{Namespace: v.Spec.Pod.Namespace, Name: v.Spec.Pod.Name}
		if !p.podsSeen[source] && p.target.Namespaces.Selects(source.Namespace) && !p.unusable[p.target.Namespaces.Target(source.Namespace)] {
			forgotten[source] = append(forgotten[source], v.Spec.Volume)
		}
	}
	for _, source := range slices.SortedFunc(maps.Keys(forgotten), compareNames) {
		p.log.Warn(itemlog.Entry{
			Namespace: p.target.Namespaces.Target(source.Namespace), Resource: "pods", Name: source.Name,
			Message: fmt.Sprintf("the backup has data of volumes %q, but the pod is not restored", forgotten[source]),
		})
	}
}

// volumesOf are the volume backups of a pod of the archive, oldest first.
func (p *pass) volumesOf(namespace, pod string) []velerov1.PodVolumeBackup {
	return filter(p.volumes, func(b velerov1.PodVolumeBackup) bool {
		return b.Spec.Pod.Namespace == namespace && b.Spec.Pod.Name == pod
	})
}

// dataOf says where the data of a volume of the archive is. A volume without an
// entry in the volume information is known by a backup of its claim.
func (p *pass) dataOf(pv *corev1.PersistentVolume) items.Data {
	for _, info := range p.volumeInfos {
		if info.PVName != pv.Name {
			continue
		}
		switch info.BackupMethod {
		case layout.BackupMethodPodVolumeBackup:
			return items.DataFileSystem
		case layout.BackupMethodNativeSnapshot, layout.BackupMethodCSISnapshot:
			return items.DataSnapshot
		}
	}
	namespace, claim, bound := items.ClaimOf(pv)
	if bound && slices.ContainsFunc(p.volumes, func(b velerov1.PodVolumeBackup) bool {
		return b.Spec.Pod.Namespace == namespace && b.Annotations[velerov1.PVCNameAnnotation] == claim
	}) {
		return items.DataFileSystem
	}
	return items.DataNone
}
