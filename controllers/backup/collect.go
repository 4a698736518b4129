package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/discovery"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/outcome"
	"github.com/podkeep/podkeep/internal/podfacts/live"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
)

// collectedFacts are what collecting tells report.
type collectedFacts struct {
	items    int
	warnings int
	errors   int
	hooks    int // records of hooks
}

// collector reads the items of one backup into its output, and has the data of
// its pods' volumes moved. It lives for one collection.
type collector struct {
	backup   *velerov1.Backup
	options  Options
	policies *resourcepolicy.Policies
	lister   lister
	out      *output
	log      *itemlog.Log

	// What run finds out first: the kinds, what the filters say, and the order in
	// which single items come first.
	kinds  discovered
	filter *filter.Filter
	order  map[schema.GroupResource][]string

	namespaces *namespaces
	claims     *claims
	volumes    *podVolumes
	owners     *owners
	hooks      hookCollector
	needs      *needs

	// choices are the verdicts on the kinds that have steps of their own.
	choices map[schema.GroupResource]filter.Verdict
}

// collect reads all items, and uploads what has been read. It may take minutes;
// it ends early when the backup is canceled or deleted, or the server stops. After
// a restart it begins anew: volumes that were found before keep their pod volume
// backups.
func (r *Reconciler) collect(ctx context.Context, o observed) (_ result, err error) {
	ctx, end := r.interruptible(ctx, o.backup)
	defer end()

	log, err := itemlog.New(r.logOptions(o.backup))
	if err != nil {
		return result{}, err
	}
	defer closeQuietly(ctx, log)
	progress := &progress{client: r.Client, clock: r.Clock, key: client.ObjectKeyFromObject(o.backup), uid: o.backup.UID}
	out, err := newOutput(r.Options.ScratchDir, r.Clock, log, progress)
	if err != nil {
		return result{}, err
	}
	defer closeQuietly(ctx, out)

	c, err := r.newCollector(ctx, o, log, out)
	if err == nil {
		err = c.run(ctx, r.Discovery)
	}
	if err == nil {
		err = r.uploadRun(ctx, c)
	}
	switch why := interruptionOf(ctx, err); {
	case why != nil:
		ctrl.LoggerFrom(ctx).Info("Collecting no longer", "reason", why.Error())
		if errors.Is(why, errCanceled) {
			r.keepLog(ctx, o.backup, log)
		}
		return result{}, nil
	case err != nil:
		return result{}, err
	}
	facts := &collectedFacts{items: progress.items, hooks: c.hooks.records}
	facts.warnings, facts.errors = log.Counts()
	return result{collected: facts}, nil
}

func (r *Reconciler) logOptions(b *velerov1.Backup) itemlog.Options {
	return itemlog.Options{Dir: r.Options.ScratchDir, Clock: r.Clock, Fields: []any{"backup", b.Namespace + "/" + b.Name}}
}

// newCollector takes over the volumes of an earlier, interrupted collection.
func (r *Reconciler) newCollector(ctx context.Context, o observed, log *itemlog.Log, out *output) (*collector, error) {
	policies, problems, err := live.Policies(ctx, r.Reader, o.backup.Namespace, o.backup.Spec.ResourcePolicy)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, outcome.Terminalf(velerov1.ReasonInvalidSpec, "resource policies have changed since the start: %s", problems[0])
	}
	existing, err := listVolumes(ctx, r.Reader, o.backup)
	if err != nil {
		return nil, err
	}
	l := lister{client: r.Dynamic, backoff: apiBackoff, most: r.Options.PageSize}
	c := &collector{
		backup:     o.backup,
		options:    r.Options,
		policies:   policies,
		lister:     l,
		out:        out,
		log:        log,
		namespaces: newNamespaces(),
		claims:     newClaims(),
		owners:     newOwners(l, r.Reader),
		volumes:    newPodVolumes(r, o, l),
		needs:      newNeeds(),
	}
	for _, warning := range policies.Warnings() {
		log.Warn(itemlog.Entry{Message: "Resource policies: " + warning})
	}
	records, err := hooksOfBackup(ctx, r.Reader, o.backup)
	if err != nil {
		return nil, err
	}
	c.volumes.resume(c.hooks.resume(records, existing))
	return c, nil
}

// uploadRun uploads what a collection has made. These are interim files, except
// for the archive and the list of its items; without velero-backup.json nobody
// takes them for a backup.
func (r *Reconciler) uploadRun(ctx context.Context, c *collector) error {
	name := c.backup.Name
	results, err := jsonFile(layout.BackupResults(name), c.log.Results())
	if err != nil {
		return err
	}
	info, err := jsonFile(layout.BackupVolumeInfo(name), interimVolumeInfo(c.claims, c.volumes))
	if err != nil {
		return err
	}
	mark, err := r.interimFile(ctx, c.backup)
	if err != nil {
		return err
	}
	err = r.uploadCollected(ctx, c.backup, []file{
		mark,
		{key: layout.BackupContents(name), open: reopen(c.out.archiveFile)},
		{key: layout.BackupResourceList(name), open: reopen(c.out.listFile)},
		results,
		info,
		logFile(name, c.log),
	})
	if stat, serr := c.out.archiveFile.Stat(); err == nil && serr == nil && r.Archived != nil {
		r.Archived(c.backup, stat.Size())
	}
	return err
}

// keepLogTimeout bounds the upload of the log of a canceled backup: people wait
// for the end.
const keepLogTimeout = 5 * time.Second

// keepLog uploads what a collection that was interrupted has to say, if that is
// possible.
func (r *Reconciler) keepLog(ctx context.Context, b *velerov1.Backup, log *itemlog.Log) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepLogTimeout)
	defer cancel()

	log.Info("Backup was canceled while its items were read")
	if err := r.tryUpload(ctx, b.Spec.StorageLocation, []file{logFile(b.Name, log)}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Uploading the log of a canceled backup")
	}
}

func logFile(backup string, log *itemlog.Log) file {
	return file{key: layout.BackupLog(backup), open: func() (io.ReadCloser, error) { return log.Open() }}
}

// run reads everything. An error ends this try: lists of single kinds that fail
// are no errors here but in the results.
func (c *collector) run(ctx context.Context, d discovery.DiscoveryInterfaceWithContext) error {
	if err := c.discover(ctx, d); err != nil {
		return err
	}
	if err := c.collectNamespaces(ctx); err != nil {
		return err
	}
	c.hooks.mixed = len(c.order[podsResource.GroupResource()]) > 0
	rest, last := c.choose()
	steps := []func(context.Context) error{c.collectClaims, c.collectVolumes, c.collectPods, c.releaseOrphans}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := c.out.list.flush(); err != nil {
		return err
	}
	for _, k := range append(rest, last...) {
		if err := c.collectKind(ctx, k); err != nil {
			return err
		}
	}
	if err := c.addHeldNamespaces(ctx); err != nil {
		return err
	}
	c.log.Info("Summary for skipped PVs: " + skippedVolumes(c.claims))
	c.log.Info("Collected items", "items", c.out.progress.items, "volumes", len(c.volumes.created))
	return c.out.finish()
}

// discover finds the kinds to read. Groups that do not answer, which is what an
// aggregated API without its server does, are left out with a warning.
func (c *collector) discover(ctx context.Context, d discovery.DiscoveryInterfaceWithContext) error {
	groups, lists, err := d.ServerGroupsAndResourcesWithContext(ctx)
	failed, partial := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err != nil && !partial {
		return fmt.Errorf("discovering resources: %w", err)
	}
	var versions []string
	for gv := range failed {
		versions = append(versions, gv.String())
	}
	slices.Sort(versions)
	for _, v := range versions {
		c.log.Warn(itemlog.Entry{Message: "Discovering resources of " + v + " failed; its items are not in the backup"})
	}
	c.kinds = newDiscovered(groups, lists)
	return nil
}

// setFilter is called when the namespaces are known: those that carry the exclude
// label do not make the selection a part of the cluster.
func (c *collector) setFilter(labelled sets.Set[string]) {
	filters := filter.ForBackup(&c.backup.Spec)
	filters.Policy = c.policies.Filter()
	filters.Namespaces.Excludes = slices.DeleteFunc(slices.Clone(filters.Namespaces.Excludes), labelled.Has)
	c.filter = filter.New(filters, c.kinds.catalog)

	c.log.Info("Collecting items", "namespaces", filters.Namespaces, "resources", filters.Resources,
		"clusterScoped", filters.ClusterScoped, "namespaceScoped", filters.NamespaceScoped, "policy", filters.Policy != nil)
	for _, note := range c.filter.Notes() {
		if note.Harmless {
			c.log.Info(note.Message)
			continue
		}
		c.log.Warn(itemlog.Entry{Message: note.Message})
	}
	c.setOrder()
}

// choose judges the kinds. rest are read in any order, last in the order in which
// they need each other; kinds with steps of their own are in neither.
func (c *collector) choose() (rest, last []choice) {
	c.choices = map[schema.GroupResource]filter.Verdict{}
	later := map[schema.GroupResource]choice{}
	for _, k := range c.kinds.choose(c.filter) {
		gr := k.GroupResource()
		if !k.verdict.Included {
			c.log.Info("Skipping kind", "resource", gr, "reason", k.verdict.Reason)
		}
		switch gr {
		case namespacesResource.GroupResource(), claimsResource.GroupResource(), volumesResource.GroupResource(), podsResource.GroupResource():
			c.choices[gr] = k.verdict
		case priorityClasses, roleBindings, roles, definitions:
			later[gr] = k
		default:
			rest = append(rest, k)
		}
	}
	for _, gr := range []schema.GroupResource{priorityClasses, roleBindings, roles, definitions} {
		if k, ok := later[gr]; ok {
			last = append(last, k)
		}
	}
	return rest, last
}

// takes reports whether items of a kind with a step of its own are taken by
// themselves.
func (c *collector) takes(res resource) bool { return c.choices[res.GroupResource()].Included }

// collectKind writes the items of a kind: those that the filters take, and those
// that items in the backup need.
func (c *collector) collectKind(ctx context.Context, k choice) error {
	needed := c.needs.of(k.GroupResource())
	if !k.verdict.Included {
		return c.collectNeeded(ctx, k.resource, needed)
	}
	err := c.list(ctx, listing{res: k.resource, also: needed.match, visit: func(u *unstructured.Unstructured) error {
		return c.addItem(ctx, k.resource, u)
	}})
	if err != nil {
		return err
	}
	return c.out.list.flush()
}

// addItem writes an item unless something on itself is against it.
func (c *collector) addItem(ctx context.Context, res resource, u *unstructured.Unstructured) error {
	if reason := c.exclusion(u); reason != "" {
		c.logExcluded(res, u, reason)
		return nil
	}
	return c.write(ctx, res, u)
}

// write writes an item, and remembers what follows from it.
func (c *collector) write(ctx context.Context, res resource, u *unstructured.Unstructured) error {
	c.namespaces.touch(u.GetNamespace())
	c.needs.note(res, u)
	return c.out.add(ctx, res, u)
}

// Why items are not in a backup although their namespace and kind are.
const (
	excludedByLabel   = "it has the label " + velerov1.ExcludeFromBackupLabel + "=true"
	excludedDeleted   = "it is being deleted"
	excludedMover     = "it is a mover pod"
	excludedByRequest = "it has the annotation " + velerov1.SkipFromBackupAnnotation
)

// exclusion says why an item is not in the backup; "" when it is.
func (c *collector) exclusion(u *unstructured.Unstructured) string {
	return exclusion(u, c.backup.Namespace)
}

func exclusion(u *unstructured.Unstructured, installNamespace string) string {
	labels := u.GetLabels()
	switch {
	case labels[velerov1.ExcludeFromBackupLabel] == "true":
		return excludedByLabel
	case u.GetDeletionTimestamp() != nil:
		return excludedDeleted
	case u.GetAnnotations()[velerov1.SkipFromBackupAnnotation] == "true":
		return excludedByRequest
	case u.GetKind() == podsResource.kind && u.GetNamespace() == installNamespace &&
		(labels[velerov1.PodVolumeBackupLabel] != "" || labels[velerov1.PodVolumeRestoreLabel] != ""):
		return excludedMover
	default:
		return ""
	}
}

func (c *collector) logExcluded(res resource, u *unstructured.Unstructured, reason string) {
	c.log.Info("Skipping item", "resource", res.GroupResource(), "namespace", u.GetNamespace(), "name", u.GetName(), "reason", reason)
}
