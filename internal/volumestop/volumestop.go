// Package volumestop stops the volumes of a backup or a restore.
//
// A volume that a node agent has taken is told to stop, and the agent says when it
// has. One that waits, for its turn on a node or for its pod, is ended here: that
// is one write instead of three (the request, the agent's answer and its event), so
// that a thousand waiting volumes are stopped within seconds. It decides about
// single volumes only; which ones are to stop is the caller's decision.
package volumestop

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// workers is how many volumes are written at the same time. The API server is the
// one who works; more only stand in line there.
const workers = 16

// Volume is a PodVolumeBackup or a PodVolumeRestore.
type Volume interface {
	client.Object

	IsFinished() bool
	IsTaken() bool
	IsCancelRequested() bool
	RequestCancel(why string)
	EndCanceled(now metav1.Time, why string)
}

// Request is why and when volumes are stopped.
type Request struct {
	Why string // for people, in one line
	Now time.Time
}

// MustStop reports whether there is something left to do for a volume that is to
// stop: it was not told, or nobody will answer.
func MustStop(v Volume) bool { return !v.IsFinished() && (!v.IsCancelRequested() || !v.IsTaken()) }

// All stops the volumes, which are not changed. It goes on after an error, and may
// be repeated.
func All[V Volume](ctx context.Context, c client.Client, volumes []V, r Request) error {
	errs := make([]error, len(volumes))
	workqueue.ParallelizeUntil(ctx, workers, len(volumes), func(n int) {
		if err := stop(ctx, c, volumes[n], r); client.IgnoreNotFound(err) != nil {
			errs[n] = fmt.Errorf("stopping %T %s: %w", volumes[n], volumes[n].GetName(), err)
		}
	})
	return errors.Join(append(errs, ctx.Err())...)
}

// stop ends a volume unless it has changed since it was read: a node agent may have
// taken it.
func stop(ctx context.Context, c client.Client, v Volume, r Request) error {
	if !MustStop(v) {
		return nil
	}
	if !v.IsTaken() {
		ended := copyOf(v)
		ended.EndCanceled(metav1.Time{Time: r.Now}, r.Why)
		err := c.Patch(ctx, ended, client.MergeFromWithOptions(v, client.MergeFromWithOptimisticLock{}))
		if !apierrors.IsConflict(err) {
			return err
		}
	}
	told := copyOf(v)
	told.RequestCancel(r.Why)
	return c.Patch(ctx, told, client.MergeFrom(v))
}

func copyOf(v Volume) Volume {
	c, ok := v.DeepCopyObject().(Volume)
	if !ok {
		panic(fmt.Sprintf("a copy of %T is of another type", v))
	}
	return c
}
