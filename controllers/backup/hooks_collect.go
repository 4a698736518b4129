package backup

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/hooks"
)

// hookCollector keeps the pods of one namespace that may share claims until all
// pods of the namespace have been read: only then is known which hooks are run
// around a claim. Pods are read in the order of their namespaces.
type hookCollector struct {
	namespace string
	waiting   []candidate

	// records counts the records of this backup; recorded are the pods in those that
	// an earlier, interrupted collection has made.
	records  int
	recorded map[types.UID]bool
}

// resume takes over what an earlier collection has made.
func (h *hookCollector) resume(existing []corev1.ConfigMap) {
	h.recorded = map[types.UID]bool{}
	h.records = len(existing)
	for i := range existing {
		for _, pod := range hookrun.Open(&existing[i]).Record.Pods {
			h.recorded[pod.UID] = true
		}
	}
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
	if cand.pod.Namespace != c.hooks.namespace {
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
// the last pod of a namespace.
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
		record = nameOfHooks(c.backup.Name, bl[0].pod.UID)
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
	cm, err := newHookRecord(c.backup, bl, volumes)
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
