package backup

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/hooks"
)

// hookCollector keeps the pods of one namespace that may share claims until all
// pods of the namespace have been read: only then is known which hooks are run
// around a claim. Pods are read in the order of their namespaces, unless the backup
// orders some of them.
type hookCollector struct {
	namespace string
	waiting   []candidate

	// mixed says that pods are not read in the order of their namespaces.
	mixed bool

	// records counts the records of this backup; recorded are the pods in those that
	// an earlier, interrupted collection has made.
	records  int
	recorded map[types.UID]bool

	// orphans are volumes, by name, that an earlier collection has created and for
	// which it had no time to make the record.
	orphans map[string]velerov1.PodVolumeBackup
}

// resume takes over what an earlier collection has made, and returns the volumes
// that are complete. A record is made after its volumes.
func (h *hookCollector) resume(records []corev1.ConfigMap, volumes []velerov1.PodVolumeBackup) []velerov1.PodVolumeBackup {
	h.recorded, h.orphans = map[types.UID]bool{}, map[string]velerov1.PodVolumeBackup{}
	h.records = len(records)
	names := map[string]bool{}
	for i := range records {
		names[records[i].Name] = true
		for _, pod := range hookrun.Open(&records[i]).Record.Pods {
			h.recorded[pod.UID] = true
		}
	}
	var complete []velerov1.PodVolumeBackup
	for _, v := range volumes {
		if record := v.Annotations[velerov1.HookRecordAnnotation]; record != "" && !names[record] {
			h.orphans[v.Name] = v
		} else {
			complete = append(complete, v)
		}
	}
	return complete
}

// hooksOf returns the hooks of a pod. What is wrong with them is in the results.
func (c *collector) hooksOf(pod *corev1.Pod) []hooks.Hook {
	if pod.DeletionTimestamp != nil || c.hooks.recorded[pod.UID] {
		return nil
	}
	found := hooks.ForBackup(pod, c.backup.Spec.Hooks)
	for _, w := range found.Warnings {
		c.log.Warn(podEntry(pod, w.String(), nil))
	}
	return found.Hooks
}

// addCandidate has the volumes of a pod moved, or keeps the pod until its block is
// complete.
func (c *collector) addCandidate(ctx context.Context, cand candidate) error {
	if cand.pod.Namespace != c.hooks.namespace && !c.hooks.mixed {
		if err := c.flushBlocks(ctx); err != nil {
			return err
		}
		c.hooks.namespace = cand.pod.Namespace
	}
	if len(cand.hooks) == 0 && len(cand.claims) == 0 {
		_, err := c.takeAll(ctx, cand, "")
		return err
	}
	for _, t := range cand.takes {
		if t.claim != nil {
			t.claim.taken = true // the next pod that mounts it comes before this one is moved
		}
	}
	if len(cand.hooks) > 0 || len(cand.takes) > 0 {
		c.hooks.waiting = append(c.hooks.waiting, cand)
	}
	return nil
}

// flushBlocks has the volumes moved of the pods that are kept. It is called after
// the last pod of a namespace, or of all.
func (c *collector) flushBlocks(ctx context.Context) error {
	blocks := blocksOf(c.hooks.waiting)
	c.hooks.waiting = nil
	for _, bl := range blocks {
		if err := c.addBlock(ctx, bl); err != nil {
			return err
		}
	}
	return nil
}

// addBlock creates the pod volume backups of a block. When commands are run around
// them, they are held until the record of these says otherwise, which is made last.
func (c *collector) addBlock(ctx context.Context, bl block) error {
	record := ""
	if bl.hasHooks() {
		record = nameOfHooks(c.backup, bl[0].pod.UID)
	}
	var volumes []string
	for _, cand := range bl {
		names, err := c.takeAll(ctx, cand, record)
		if err != nil {
			return err
		}
		volumes = append(volumes, names...)
	}
	if record == "" {
		return nil
	}
	if err := c.adoptOrphans(ctx, volumes, record); err != nil {
		return err
	}
	cm, err := newHookRecord(c.backup, bl, hookOrigin{order: c.hooks.records, volumes: volumes})
	if err == nil {
		err = c.lister.retry(ctx, func() error { return c.volumes.client.Create(ctx, cm) })
	}
	if client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("creating the record of the hooks of pod %s/%s: %w", bl[0].pod.Namespace, bl[0].pod.Name, err)
	}
	c.hooks.records++
	for _, cand := range bl {
		if len(cand.hooks) > 0 {
			c.log.Info("Hooks are to be run", "namespace", cand.pod.Namespace, "pod", cand.pod.Name, "hooks", len(cand.hooks), "record", record)
		}
	}
	return nil
}

// adoptOrphans gives volumes of an earlier collection the record that is about to
// be made.
func (c *collector) adoptOrphans(ctx context.Context, names []string, record string) error {
	for _, name := range names {
		v, ok := c.hooks.orphans[name]
		if !ok {
			continue
		}
		delete(c.hooks.orphans, name)
		if err := c.patchOrphan(ctx, v, func(v *velerov1.PodVolumeBackup) { v.Annotations[velerov1.HookRecordAnnotation] = record }); err != nil {
			return err
		}
	}
	return nil
}

// releaseOrphans lets those volumes of an earlier collection go whose pods have no
// hooks any more, or are gone: their node agents see.
func (c *collector) releaseOrphans(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(c.hooks.orphans)) {
		v := c.hooks.orphans[name]
		if err := c.patchOrphan(ctx, v, func(v *velerov1.PodVolumeBackup) { delete(v.Annotations, velerov1.HoldAnnotation) }); err != nil {
			return err
		}
		c.volumes.resume([]velerov1.PodVolumeBackup{v})
	}
	clear(c.hooks.orphans)
	return nil
}

func (c *collector) patchOrphan(ctx context.Context, v velerov1.PodVolumeBackup, change func(*velerov1.PodVolumeBackup)) error {
	before := v.DeepCopy()
	change(&v)
	err := c.lister.retry(ctx, func() error { return c.volumes.client.Patch(ctx, v.DeepCopy(), client.MergeFrom(before)) })
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("taking over pod volume backup %s: %w", v.Name, err)
	}
	return nil
}

// takeAll creates the pod volume backups of a pod and returns their names.
func (c *collector) takeAll(ctx context.Context, cand candidate, record string) ([]string, error) {
	var names []string
	for _, t := range cand.takes {
		name, err := c.take(ctx, cand.pod, t, record)
		if err != nil {
			return nil, err
		}
		if name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}
