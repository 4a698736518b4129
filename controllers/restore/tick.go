package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// errStopped ends the pass of a restore that is canceled or deleted.
var errStopped = errors.New("the restore is to stop")

const (
	// progressInterval is the shortest time between two patches of
	// status.progress. What they return also says whether to stop.
	progressInterval = time.Second

	// stopInterval is the time between the end of a pass that was told to stop and
	// the next step, which the event of the cancellation usually brings sooner.
	stopInterval = 100 * time.Millisecond
)

// tick writes the progress when the last time is long enough ago. It returns
// errStopped when the pass must end.
func (p *pass) tick(ctx context.Context) error {
	now := p.Clock.Now()
	if now.Sub(p.looked) < progressInterval {
		return nil
	}
	p.looked = now
	return p.look(ctx)
}

// look writes the progress, if there is any, and sees whether to stop.
func (p *pass) look(ctx context.Context) error {
	r := &velerov1.Restore{}
	r.Namespace, r.Name = p.restore.Namespace, p.restore.Name
	err := p.exchange(ctx, r)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return errStopped
	case err != nil:
		// The next one will do.
		ctrl.LoggerFrom(ctx).V(1).Info("Patching progress failed", "reason", err.Error())
		return nil
	case r.DeletionTimestamp != nil || cancelRequestedBy(r) != "":
		return errStopped
	default:
		return nil
	}
}

// exchange patches the progress into the Restore and reads the rest of it.
func (p *pass) exchange(ctx context.Context, r *velerov1.Restore) error {
	if p.expected == 0 {
		return p.Reader.Get(ctx, client.ObjectKeyFromObject(r), r)
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.restore.UID}, // refused when another restore has the name by now
		"status": map[string]any{"progress": velerov1.RestoreProgress{
			TotalItems: max(p.expected, p.progress.TotalItems), ItemsRestored: p.progress.ItemsRestored,
		}},
	})
	if err != nil {
		return fmt.Errorf("encoding progress: %w", err)
	}
	p.hasWritten = true
	return p.Client.Patch(ctx, r, client.RawPatch(types.MergePatchType, patch))
}

// cancelRequestedBy returns who has asked a restore to stop, "" for nobody.
func cancelRequestedBy(r *velerov1.Restore) string {
	return r.Annotations[velerov1.CancelRequestedByAnnotation]
}

// isStopping reports whether somebody wants the restore to end early.
func isStopping(r *velerov1.Restore) bool {
	return r.DeletionTimestamp != nil || cancelRequestedBy(r) != ""
}
