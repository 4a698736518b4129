package metrics

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/instruments"
)

// Recorder counts what happens to the objects of one installation. Fields are set
// before SetupWithManager and not changed after.
type Recorder struct {
	// Registry takes the metrics.
	Registry prometheus.Registerer

	Clock clock.PassiveClock

	// Namespace is the install namespace; objects elsewhere are not counted.
	Namespace string

	counts *counts
	reader client.Reader
	cache  cache.Cache
	filled atomic.Bool
}

// +kubebuilder:rbac:groups=velero.io,resources=backups;restores;schedules;deletebackuprequests;backuprepositories;backupstoragelocations,verbs=get;list;watch,roleName=podkeep-server,namespace=velero

// SetupWithManager registers the metrics, and has changes counted while this
// server is the one that acts.
func (r *Recorder) SetupWithManager(mgr ctrl.Manager) error {
	if r.Registry == nil || r.Clock == nil || r.Namespace == "" {
		return errors.New("setting up metrics: fields Registry, Clock and Namespace must be set")
	}
	var err error
	if r.counts, err = newCounts(r.Registry); err != nil {
		return err
	}
	r.reader, r.cache = mgr.GetCache(), mgr.GetCache()
	if _, err := instruments.Register(r.Registry, newState(r.reader, r.Namespace, r.Clock, r.filled.Load)); err != nil {
		return err
	}
	return mgr.Add(r)
}

// Archived tells the size of the archive of a backup, which no object has.
func (r *Recorder) Archived(b *velerov1.Backup, bytes int64) {
	r.counts.tarballSize.WithLabelValues(scheduleOf(b)).Set(float64(bytes))
}

// Start implements manager.Runnable. It ends with the manager.
func (r *Recorder) Start(ctx context.Context) error {
	watches := map[client.Object]toolscache.ResourceEventHandler{
		&velerov1.Backup{}: handler[*velerov1.Backup]{
			update: func(before, after *velerov1.Backup) { r.counts.apply(ofBackup(before, after)) },
			remove: func(last *velerov1.Backup) { r.counts.apply(ofGoneBackup(last)) },
		},
		&velerov1.Restore{}: handler[*velerov1.Restore]{
			update: func(before, after *velerov1.Restore) { r.counts.apply(ofRestore(before, after)) },
		},
		&velerov1.DeleteBackupRequest{}: handler[*velerov1.DeleteBackupRequest]{
			update: func(before, after *velerov1.DeleteBackupRequest) {
				if before.Status.Phase != after.Status.Phase {
					r.counts.apply(ofRequest(before, after, r.scheduleOf(ctx, after)))
				}
			},
		},
		&velerov1.BackupRepository{}: handler[*velerov1.BackupRepository]{
			update: func(before, after *velerov1.BackupRepository) { r.counts.apply(ofRepository(before, after)) },
			remove: func(last *velerov1.BackupRepository) { r.counts.forgetRepository(last.Name) },
		},
		&velerov1.Schedule{}: handler[*velerov1.Schedule]{
			add:    func(s *velerov1.Schedule) { r.counts.begin(s.Name) },
			remove: func(s *velerov1.Schedule) { r.counts.forget(s.Name) },
		},
	}
	for kind, h := range watches {
		informer, err := r.cache.GetInformer(ctx, kind)
		if err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
		if _, err := informer.AddEventHandler(h); err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
	}
	if r.cache.WaitForCacheSync(ctx) {
		r.filled.Store(true)
	}
	<-ctx.Done()
	return nil
}

// scheduleOf looks up the schedule of the backup that a request is about; "" when
// there is none.
func (r *Recorder) scheduleOf(ctx context.Context, request *velerov1.DeleteBackupRequest) string {
	b := &velerov1.Backup{}
	if err := r.reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: request.Spec.BackupName}, b); err != nil {
		return ""
	}
	return scheduleOf(b)
}

// handler calls typed functions; nil ones are left out. The objects belong to the
// cache.
type handler[T client.Object] struct {
	add    func(T)
	update func(before, after T)
	remove func(T)
}

// OnAdd implements cache.ResourceEventHandler.
func (h handler[T]) OnAdd(obj any, _ bool) {
	if o, ok := obj.(T); ok && h.add != nil {
		h.add(o)
	}
}

// OnUpdate implements cache.ResourceEventHandler. Another object of the same name is
// no change.
func (h handler[T]) OnUpdate(oldObj, newObj any) {
	before, ok1 := oldObj.(T)
	after, ok2 := newObj.(T)
	if ok1 && ok2 && h.update != nil && before.GetUID() == after.GetUID() {
		h.update(before, after)
	}
}

// OnDelete implements cache.ResourceEventHandler.
func (h handler[T]) OnDelete(obj any) {
	if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	if o, ok := obj.(T); ok && h.remove != nil {
		h.remove(o)
	}
}
