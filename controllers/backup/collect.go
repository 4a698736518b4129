package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/outcome"
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
	backup  *velerov1.Backup
	options Options
	filter  namespaceFilter
	lister  lister
	out     *output
	log     *itemlog.Log

	// namespaces are the policies of the namespaces in the backup, by their name.
	namespaces map[string]string
	claims     *claims
	volumes    *podVolumes
	owners     *owners
	hooks      hookCollector
}

// collect reads all items, and uploads what has been read. It may take minutes;
// it ends early when the backup is deleted or the server stops. After a restart
// it begins anew: volumes that were found before keep their pod volume backups.
func (r *Reconciler) collect(ctx context.Context, o observed) (result, error) {
	select {
	case r.collections <- struct{}{}:
		defer func() { <-r.collections }()
	default:
		return result{}, outcome.Waitf(velerov1.ReasonWaitingForSlot, slotPollInterval, "waiting for other backups to be collected")
	}
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

	existing, err := listVolumes(ctx, r.Reader, o.backup)
	if err != nil {
		return result{}, err
	}
	c := r.newCollector(o, log, out)
	c.volumes.resume(existing)
	records, err := hooksOfBackup(ctx, r.Reader, o.backup)
	if err != nil {
		return result{}, err
	}
	c.hooks.resume(records)
	switch err := c.run(ctx, r.Discovery); {
	case errors.Is(err, errGone):
		ctrl.LoggerFrom(ctx).Info("Stopping because the backup was deleted")
		return result{}, nil
	case err != nil:
		return result{}, err
	}
	if err := r.uploadRun(ctx, c); err != nil {
		return result{}, err
	}
	facts := &collectedFacts{items: progress.items, hooks: c.hooks.records}
	facts.warnings, facts.errors = log.Counts()
	return result{collected: facts}, nil
}

func (r *Reconciler) logOptions(b *velerov1.Backup) itemlog.Options {
	return itemlog.Options{Dir: r.Options.ScratchDir, Clock: r.Clock, Fields: []any{"backup", b.Namespace + "/" + b.Name}}
}

func (r *Reconciler) newCollector(o observed, log *itemlog.Log, out *output) *collector {
	l := lister{client: r.Dynamic, backoff: apiBackoff}
	return &collector{
		backup:     o.backup,
		options:    r.Options,
		filter:     namespaceFilterOf(o.backup),
		lister:     l,
		out:        out,
		log:        log,
		namespaces: map[string]string{},
		claims:     newClaims(),
		owners:     newOwners(l),
		volumes:    newPodVolumes(r, o, l),
	}
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
	info, err := jsonFile(layout.BackupVolumeInfo(name), interimVolumeInfo(c.claims.sorted(), c.volumes.created))
	if err != nil {
		return err
	}
	return r.uploadCollected(ctx, c.backup, []file{
		{key: layout.BackupContents(name), open: reopen(c.out.archiveFile)},
		{key: layout.BackupResourceList(name), open: reopen(c.out.listFile)},
		results,
		info,
		{key: layout.BackupLog(name), open: func() (io.ReadCloser, error) { return c.log.Open() }},
	})
}

// run reads everything. An error ends this try: lists of single kinds that fail
// are no errors here but in the results.
func (c *collector) run(ctx context.Context, d discovery.DiscoveryInterfaceWithContext) error {
	c.log.Info("Collecting items", "includedNamespaces", c.filter.includes, "excludedNamespaces", c.filter.excludes)
	c.log.Info("Cluster-scoped items are limited to namespaces and the volumes of claims")

	resources, err := c.discover(ctx, d)
	if err != nil {
		return err
	}
	if err := c.collectNamespaces(ctx); err != nil {
		return err
	}
	if err := c.collectClaims(ctx); err != nil {
		return err
	}
	if err := c.collectPods(ctx); err != nil {
		return err
	}
	if err := c.out.list.flush(); err != nil {
		return err
	}
	for _, res := range resources {
		if err := c.collectKind(ctx, res); err != nil {
			return err
		}
	}
	c.log.Info("Collected items", "items", c.out.progress.items, "volumes", len(c.volumes.created))
	return c.out.finish()
}

// discover finds the kinds to read. Groups that do not answer, which is what an
// aggregated API without its server does, are left out with a warning.
func (c *collector) discover(ctx context.Context, d discovery.DiscoveryInterfaceWithContext) ([]resource, error) {
	groups, lists, err := d.ServerGroupsAndResourcesWithContext(ctx)
	failed, partial := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err != nil && !partial {
		return nil, fmt.Errorf("discovering resources: %w", err)
	}
	var versions []string
	for gv := range failed {
		versions = append(versions, gv.String())
	}
	slices.Sort(versions)
	for _, v := range versions {
		c.log.Warn(itemlog.Entry{Message: "Discovering resources of " + v + " failed; its items are not in the backup"})
	}
	return chooseResources(groups, lists), nil
}

// collectNamespaces writes the namespaces of the backup and remembers their
// policies. Without namespaces there is no backup, so it returns all errors.
func (c *collector) collectNamespaces(ctx context.Context) error {
	var existing []string
	err := c.lister.each(ctx, namespacesResource, "", func(p page) error {
		for i := range p.items {
			existing = append(existing, p.items[i].GetName())
			if err := c.addNamespace(ctx, &p.items[i]); err != nil {
				return err
			}
		}
		return nil
	})
	for _, name := range c.filter.missing(existing) {
		c.log.Warn(itemlog.Entry{Message: fmt.Sprintf("Namespace %s does not exist", name)})
	}
	return err
}

func (c *collector) addNamespace(ctx context.Context, u *unstructured.Unstructured) error {
	if !c.filter.matches(u.GetName()) {
		return nil
	}
	if reason := c.exclusion(u); reason != "" {
		c.log.Warn(itemlog.Entry{
			Cluster: true, Resource: namespacesResource.Resource, Name: u.GetName(),
			Message: "Namespace is not in the backup: " + reason,
		})
		return nil
	}
	c.namespaces[u.GetName()] = u.GetLabels()[velerov1.FSBackupLabel]
	return c.out.add(ctx, namespacesResource, u)
}

// collectKind writes all items of a kind.
func (c *collector) collectKind(ctx context.Context, res resource) error {
	err := c.list(ctx, res, func(u *unstructured.Unstructured) error {
		if reason := c.exclusion(u); reason != "" {
			c.logExcluded(res, u, reason)
			return nil
		}
		return c.out.add(ctx, res, u)
	})
	if err != nil {
		return err
	}
	return c.out.list.flush()
}

// list visits the items of a kind in the namespaces of the backup: by one list
// of the cluster when all are included, else by one for each of them.
func (c *collector) list(ctx context.Context, res resource, visit func(*unstructured.Unstructured) error) error {
	if c.filter.includesAll() {
		return c.listIn(ctx, res, "", visit)
	}
	for _, namespace := range c.sortedNamespaces() {
		if err := c.listIn(ctx, res, namespace, visit); err != nil {
			return err
		}
	}
	return nil
}

// listIn visits the items of one list. That the server does not give the list is
// an error in the results; errors of visit end the collection.
func (c *collector) listIn(ctx context.Context, res resource, namespace string, visit func(*unstructured.Unstructured) error) error {
	var visitErr error
	err := c.lister.each(ctx, res, namespace, func(p page) error {
		c.out.progress.expected = len(p.items) + int(p.remaining)
		for i := range p.items {
			c.out.progress.expected--
			if visitErr = c.visit(&p.items[i], res, visit); visitErr != nil {
				return visitErr
			}
		}
		return nil
	})
	switch {
	case err == nil, visitErr != nil, ctx.Err() != nil:
		return err
	default:
		c.log.Error(itemlog.Entry{
			Namespace: namespace, Cluster: true,
			Resource: res.GroupResource().String(), Message: "Reading items failed; they are not in the backup", Err: err,
		})
		return nil
	}
}

// visit passes over items of namespaces that are not in the backup.
func (c *collector) visit(u *unstructured.Unstructured, res resource, visit func(*unstructured.Unstructured) error) error {
	if _, ok := c.namespaces[u.GetNamespace()]; res.namespaced && !ok {
		return nil
	}
	return visit(u)
}

func (c *collector) sortedNamespaces() []string {
	names := make([]string, 0, len(c.namespaces))
	for name := range c.namespaces {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
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
