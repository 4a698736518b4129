package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// progressInterval is the shortest time between two patches of status.progress.
const progressInterval = time.Second

// progress counts items and writes the counts on the Backup from time to time.
type progress struct {
	client client.Client
	clock  clock.PassiveClock
	key    client.ObjectKey
	uid    types.UID

	items    int       // written so far
	expected int       // of the pages to come
	patched  time.Time // the last time
}

// tick writes the counts when the last time is long enough ago. It returns
// errGone when there is nothing to write them on, and errCanceled when nobody
// wants them.
func (p *progress) tick(ctx context.Context) error {
	now := p.clock.Now()
	if now.Sub(p.patched) < progressInterval {
		return nil
	}
	p.patched = now
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.uid}, // refused when another backup has the name by now
		"status": map[string]any{
			"progress": velerov1.BackupProgress{TotalItems: p.items + p.expected, ItemsBackedUp: p.items},
		},
	})
	if err != nil {
		return fmt.Errorf("encoding progress: %w", err)
	}
	b := &velerov1.Backup{}
	b.Namespace, b.Name = p.key.Namespace, p.key.Name
	err = p.client.Patch(ctx, b, client.RawPatch(types.MergePatchType, patch))
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return errGone
	case err != nil:
		// The next one will do.
		ctrl.LoggerFrom(ctx).V(1).Info("Patching progress failed", "reason", err.Error())
		return nil
	default:
		return interruption(b)
	}
}
