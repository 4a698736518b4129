package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/archive"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/modifiers"
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

	store     objectstore.Store
	archive   *archive.Extracted
	target    items.Target
	selection *selection

	// What the backup has beyond its archive, and what the cluster has.
	data    backupData
	classes map[string]string // storage class to provisioner

	// modifiers change items before they are created; nil means none.
	modifiers *modifiers.Rules

	// What the pass has made so far.
	log          *itemlog.Log
	list         layout.ResourceList
	progress     velerov1.RestoreProgress
	expected     int       // items that will be looked at, as far as is known
	looked       time.Time // when progress was last written
	hasWritten   bool      // progress was written in this pass
	postponed    []postponement
	unusable     map[string]bool                    // target namespaces that items cannot be created in
	fresh        map[string]bool                    // target namespaces that this restore has made
	claims       map[types.NamespacedName]types.UID // claims in the cluster
	marked       map[types.NamespacedName]bool      // those of them that say that this restore fills them
	podsSeen     map[types.NamespacedName]bool      // pods of the archive, by their names in the backup, that are in the cluster or left out on purpose
	repositories map[string]bool                    // source namespaces whose repository is ensured
	blocked      map[owner]bool                     // workloads that would start pods without their data
	room         map[owner]int                      // pods that workloads of the cluster still lack
	unknown      map[schema.GroupVersionKind]int    // items of kinds that the cluster does not know
	forbidden    map[schema.GroupVersionKind]bool   // kinds that the server's roles do not cover
	definitions  []definition                       // made by this restore
	made         map[schema.GroupVersionKind]ownObjects
	batch        []creation
	fills        []*velerov1.PodVolumeRestore // to be created with the batch
	youngest     time.Time                    // when the last pod with data and a controller was created
	hookRecords  int                          // pods in which commands are to be run
	webhookErr   error                        // why the webhook did not answer, or nil
}

// restoreItems writes all items, and uploads what there is to say about them. It
// returns an error of class Wait when something was not ready, or when the restore
// is to stop.
func (r *Reconciler) restoreItems(ctx context.Context, o observed, lastTry bool) error {
	err := r.runPass(ctx, o, lastTry)
	if errors.Is(err, errStopped) {
		return outcome.Waitf(velerov1.ReasonCanceling, stopInterval, "restoring items: %w", err)
	}
	if err != nil && lastTry && !outcome.IsTerminal(err) {
		err = outcome.Terminalf(velerov1.ReasonTimeout, "timed out after %s: %w", o.volumeTimeout, err)
	}
	if outcome.IsTerminal(err) {
		return errors.Join(err, r.release(ctx, o))
	}
	return err
}

func (r *Reconciler) newPass(o observed) *pass {
	return &pass{
		Reconciler: r, restore: o.restore, backup: o.backup, now: o.now, looked: o.now,
		list:         layout.ResourceList{},
		unusable:     map[string]bool{},
		fresh:        map[string]bool{},
		claims:       map[types.NamespacedName]types.UID{},
		marked:       map[types.NamespacedName]bool{},
		podsSeen:     map[types.NamespacedName]bool{},
		repositories: map[string]bool{},
		blocked:      map[owner]bool{},
		room:         map[owner]int{},
		unknown:      map[schema.GroupVersionKind]int{},
		forbidden:    map[schema.GroupVersionKind]bool{},
		made:         map[schema.GroupVersionKind]ownObjects{},
		target: items.Target{
			BackupName:        o.backup.Name,
			RestoreName:       o.restore.Name,
			Namespaces:        items.Namespaces{Mapping: o.restore.Spec.NamespaceMapping},
			KeptVolumes:       map[string]bool{},
			PreserveNodePorts: isTrue(o.restore.Spec.PreserveNodePorts),
			JobsWithPods:      map[types.NamespacedName]bool{},
		},
	}
}

func isTrue(b *bool) bool { return b != nil && *b }

func (r *Reconciler) runPass(ctx context.Context, o observed, lastTry bool) (err error) {
	p := r.newPass(o)
	p.lastTry = lastTry
	if p.log, err = itemlog.New(r.logOptions(o.restore)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.log.Close()) }()
	if err := p.read(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.archive.Close()) }()
	if err := p.run(ctx); err != nil {
		return p.stopEarly(ctx, err)
	}
	if err := p.wait(); err != nil {
		return err
	}
	if err := p.upload(ctx); err != nil {
		return waitForStorage("uploading interim results", err)
	}
	if p.hasWritten { // the patch of the reconcile leaves out what it believes to be there
		p.expected = p.progress.TotalItems
		if err := p.look(ctx); err != nil {
			return err
		}
	}
	p.noteHooks()
	o.restore.Status.Progress = &p.progress
	o.restore.Status.Warnings, o.restore.Status.Errors = p.log.Counts()
	return nil
}

// stopEarly keeps what a restore that is to stop has said so far.
func (p *pass) stopEarly(ctx context.Context, err error) error {
	if !errors.Is(err, errStopped) {
		return err
	}
	p.log.Info("Stopping, because the restore is canceled or deleted")
	if uploadErr := p.upload(ctx); uploadErr != nil {
		return errors.Join(err, uploadErr) // the log is lost; stopping goes before
	}
	return err
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
	for _, gr := range p.Options.Priorities.Order(p.archive.Resources()) {
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
	if reason := p.selection.leavesOutKind(gr); reason != "" {
		p.log.Info("Leaving out resource", "resource", gr.String(), "reason", reason)
		return nil
	}
	if gr == namespacesResource {
		return nil // prepareNamespaces did them
	}
	for ref, err := range p.archive.Items(gr) {
		if err != nil {
			return outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "reading the archive: %w", err)
		}
		if err := p.restoreRef(ctx, ref); err != nil {
			return err
		}
		if err := p.tick(ctx); err != nil {
			return err
		}
	}
	if err := p.flush(ctx); err != nil {
		return err
	}
	p.reportUnknown(gr)
	switch gr {
	case definitionsResource:
		return p.awaitDefinitions(ctx)
	case podsResource:
		return p.letControllersSee(ctx)
	default:
		return nil
	}
}

// reportForgottenVolumes warns of data whose pod is not in the cluster: pods that
// had finished, or that the archive does not have.
func (p *pass) reportForgottenVolumes() {
	if p.selection.leavesOutKind(podsResource) != "" {
		return // nobody expects them
	}
	forgotten := map[types.NamespacedName][]string{}
	for _, v := range p.data.volumes {
		source := types.NamespacedName{Namespace: v.Spec.Pod.Namespace, Name: v.Spec.Pod.Name}
		if !p.podsSeen[source] && p.selection.leavesOutNamespace(source.Namespace) == "" && !p.unusable[p.target.Namespaces.Target(source.Namespace)] {
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
