package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/itemlog"
)

// hooksOfBackup returns the records of a backup, by name.
func hooksOfBackup(ctx context.Context, reader client.Reader, b *velerov1.Backup) ([]corev1.ConfigMap, error) {
	list := &corev1.ConfigMapList{}
	err := reader.List(ctx, list, client.InNamespace(b.Namespace),
		client.MatchingLabels{velerov1.BackupUIDLabel: string(b.UID)}, client.HasLabels{velerov1.HooksLabel})
	if err != nil {
		return nil, fmt.Errorf("listing records of hooks: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.ConfigMap) int { return cmp.Compare(a.Name, b.Name) })
	return list.Items, nil
}

// observeHooks reads which blocks have hooks left, and what their nodes do. A
// backup without hooks, which its status says, costs nothing.
func (r *Reconciler) observeHooks(ctx context.Context, b *velerov1.Backup) (hookFacts, error) {
	var f hookFacts
	if !isLive(b) || !isCollected(b) || b.Status.HookStatus == nil {
		return f, nil
	}
	records, err := listHookRecords(ctx, r.Reader, b.Namespace)
	if err != nil {
		return f, err
	}
	waiting := false
	for i := range records {
		block := hookBlockOf(&records[i])
		waiting = waiting || block.phase == velerov1.HooksWaiting
		f.blocks = append(f.blocks, block)
	}
	if !waiting {
		return f, nil
	}
	volumes := &velerov1.PodVolumeBackupList{}
	if err := r.Client.List(ctx, volumes, client.InNamespace(b.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return f, fmt.Errorf("listing pod volume backups: %w", err)
	}
	f.busy = busyNodes(volumes.Items, collectedAt(b))
	return f, nil
}

// startHooks gives blocks their turn.
func (r *Reconciler) startHooks(ctx context.Context, o observed) error {
	var errs []error
	for _, name := range hookTurns(o) {
		m := &metav1.PartialObjectMetadata{}
		m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
		m.Namespace, m.Name = o.backup.Namespace, name
		hookrun.SetPhase(m, velerov1.HooksWaiting)
		before := m.DeepCopy()
		hookrun.SetPhase(m, velerov1.HooksRunning)
		if err := r.Client.Patch(ctx, m, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("giving hooks %s their turn: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// hookBook is a record of hooks and the name of its ConfigMap.
type hookBook struct {
	*hookrun.Book
	name string
}

// readHooks returns the records of a backup. One without hooks costs nothing.
func (r *Reconciler) readHooks(ctx context.Context, b *velerov1.Backup) ([]hookBook, error) {
	if b.Status.HookStatus == nil {
		return nil, nil
	}
	records, err := hooksOfBackup(ctx, r.Reader, b)
	if err != nil {
		return nil, err
	}
	var books []hookBook
	for i := range records {
		books = append(books, hookBook{Book: hookrun.Open(&records[i]), name: records[i].Name})
	}
	return books, nil
}

// logHooks adds to log and results what came of the hooks.
func logHooks(log *itemlog.Log, books []hookBook) {
	for _, book := range books {
		if book.Broken != nil {
			log.ErrorOnce(itemlog.Entry{Message: "Record " + book.name + " of hooks cannot be read; pods may be frozen still", Err: book.Broken})
			continue
		}
		for _, run := range book.Record.Runs {
			hookrun.Log(log, book.Record.Pods[run.Pod], run)
		}
	}
}

// countHooks returns the numbers for the status; nil when there were no hooks.
func countHooks(b *velerov1.Backup, books []hookBook) *velerov1.HookStatus {
	if b.Status.HookStatus == nil {
		return nil
	}
	var sum velerov1.HookStatus
	for _, book := range books {
		counts := book.Record.Count()
		sum.HooksAttempted += counts.HooksAttempted
		sum.HooksFailed += counts.HooksFailed
	}
	return &sum
}
