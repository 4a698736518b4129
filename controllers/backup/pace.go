package backup

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// pausePerVolume is how long the end of a volume waits to be looked at, for each
// volume of its backup. A look goes through all volumes, which takes some 20 µs
// each; so looking takes a fifth of a processor at most, however many there are and
// however fast they end. Ten volumes wait for 1 ms, ten thousand for 1 s.
const pausePerVolume = 100 * time.Microsecond

// pace spaces the looks at backups whose volumes end. What it remembers is how many
// volumes a backup had at the last look; a restart forgets it without harm.
type pace struct {
	mu      sync.Mutex // guards volumes
	volumes map[types.NamespacedName]int
}

// note remembers how many volumes an unfinished backup has; 0 forgets it.
func (p *pace) note(backup types.NamespacedName, volumes int) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if volumes == 0 {
		delete(p.volumes, backup)
		return
	}
	if p.volumes == nil {
		p.volumes = map[types.NamespacedName]int{}
	}
	p.volumes[backup] = volumes
}

// pause is how long the end of one more volume may wait.
func (p *pace) pause(backup types.NamespacedName) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()

	return time.Duration(p.volumes[backup]) * pausePerVolume
}

// handler has the backup of a volume looked at, in a while: what happens until then
// costs no look of its own.
func (p *pace) handler() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	look := func(o client.Object, q queue) {
		owner := metav1.GetControllerOf(o)
		if owner == nil || owner.Kind != backupKind {
			return
		}
		backup := types.NamespacedName{Namespace: o.GetNamespace(), Name: owner.Name}
		q.AddAfter(reconcile.Request{NamespacedName: backup}, p.pause(backup))
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { look(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { look(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { look(e.Object, q) },
	}
}

const backupKind = "Backup"

// volumeEnds lets through what changes the next step of a backup, and neither the
// creation of its volumes, which it does itself, nor the progress that each mover
// reports every second.
func volumeEnds() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			v, ok := e.Object.(*velerov1.PodVolumeBackup)
			return !ok || v.IsFinished()
		},
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*velerov1.PodVolumeBackup)
			after, ok2 := e.ObjectNew.(*velerov1.PodVolumeBackup)
			return !ok1 || !ok2 || before.IsFinished() != after.IsFinished()
		},
	}
}

// backupTurned drops changes that are for people only: the numbers of the progress,
// and the texts that say what is waited for. They are written after a look, and are
// no reason for another one.
func backupTurned() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*velerov1.Backup)
		after, ok2 := e.ObjectNew.(*velerov1.Backup)
		return !ok1 || !ok2 || before.UID != after.UID || !equality.Semantic.DeepEqual(withoutTexts(before), withoutTexts(after))
	}}
}

func withoutTexts(b *velerov1.Backup) *velerov1.Backup {
	c := b.DeepCopy()
	c.ResourceVersion, c.Generation, c.ManagedFields, c.Status.Progress = "", 0, nil, nil
	for i := range c.Status.Conditions {
		c.Status.Conditions[i].Message = ""
	}
	return c
}
