package backup

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// closeTimeout bounds what is done in object storage for a backup that ends without
// being one: people wait for the end.
const closeTimeout = 5 * time.Second

// closedFacts are what closing tells report. Without the log, warnings and errors
// are those of collecting.
type closedFacts struct {
	hooks            *velerov1.HookStatus
	isLogged         bool
	warnings, errors int
}

// closeFailed completes the log and the results of a backup that has started and
// fails: they are all that is left of it, and say what became of its hooks and
// volumes. What only a restore could use is removed. Storage that fails now is no
// reason to keep the backup from ending.
func (r *Reconciler) closeFailed(ctx context.Context, o observed, s step) (*closedFacts, error) {
	if !isStarted(o.backup) || o.stored != nil {
		return nil, nil // it has written nothing, or what is there is not its own
	}
	books, err := r.readHooks(ctx, o.backup)
	if err != nil {
		return nil, err
	}
	c := &closedFacts{hooks: countHooks(o.backup, books)}
	if o.storageErr != nil {
		return c, nil
	}
	hurried, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()

	store, err := r.openStore(hurried, o.location)
	if err == nil && isCollected(o.backup) {
		err = r.closeLog(hurried, closing{store: store, o: o, s: s, books: books}, c)
	}
	if err == nil {
		err = removeUnusable(hurried, store, o.backup.Name)
	}
	if err != nil {
		ctrl.LoggerFrom(ctx).Info("Leaving files of the failed backup as they are", "reason", err.Error())
	}
	return c, ctx.Err()
}

// closing is what closeLog works with.
type closing struct {
	store objectstore.Store
	o     observed
	s     step
	books []hookBook
}

func (r *Reconciler) closeLog(ctx context.Context, f closing, c *closedFacts) error {
	name := f.o.backup.Name
	log, err := r.resumeLog(ctx, f.store, f.o.backup)
	if err != nil {
		return err
	}
	defer closeQuietly(ctx, log)

	for i := range f.o.volumes {
		logVolume(log, &f.o.volumes[i])
	}
	logHooks(log, f.books)
	log.ErrorOnce(itemlog.Entry{Message: "Backup failed: " + f.s.message})
	c.isLogged = true
	c.warnings, c.errors = log.Counts()
	results, err := jsonFile(layout.BackupResults(name), log.Results())
	if err != nil {
		return err
	}
	return upload(ctx, f.store, []file{results, logFile(name, log)})
}

// removeUnusable removes the files that are of use only to a restore of the backup.
// The log and the results stay, for people, until the Backup is deleted.
func removeUnusable(ctx context.Context, store objectstore.Store, backup string) error {
	for _, key := range []string{layout.BackupContents(backup), layout.BackupResourceList(backup), layout.BackupVolumeInfo(backup)} {
		if err := store.Delete(ctx, key); err != nil {
			return fmt.Errorf("removing %s: %w", key, err)
		}
	}
	return nil
}

// interimMargin is added to the time in which a backup ends: clocks differ, and a
// server may be down for a while.
const interimMargin = time.Hour

// interimFile marks the files of a backup as interim: nobody but this cluster knows
// of the Backup, and should it be deleted by hand, the next sync after that time
// finds the mark and removes them.
func (r *Reconciler) interimFile(ctx context.Context, b *velerov1.Backup) (file, error) {
	ns := &corev1.Namespace{}
	if err := r.Reader.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, ns); err != nil {
		return file{}, fmt.Errorf("getting namespace %s: %w", metav1.NamespaceSystem, err)
	}
	until := b.Status.StartTimestamp.Add(volumeTimeoutOf(b, r.Options.FSBackupTimeout) + cancelGrace + r.Options.StorageTimeout + interimMargin)
	return jsonFile(layout.BackupInterim(b.Name), layout.Interim{
		BackupUID: string(b.UID), Cluster: string(ns.UID), Until: metav1.Time{Time: until},
	})
}
