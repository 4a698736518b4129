package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// upload writes what there is to say about the items; finish completes it.
func (p *pass) upload(ctx context.Context) error {
	p.list.Sort()
	if err := putJSON(ctx, p.store, layout.RestoreResourceList(p.restore.Name), p.list); err != nil {
		return err
	}
	return uploadLog(ctx, p.store, p.restore.Name, p.log)
}

// uploadLog writes log and results.
func uploadLog(ctx context.Context, store objectstore.Store, restore string, log *itemlog.Log) error {
	lines, err := log.Open()
	if err != nil {
		return err
	}
	if err := errors.Join(store.Put(ctx, layout.RestoreLog(restore), lines), lines.Close()); err != nil {
		return err
	}
	return putJSON(ctx, store, layout.RestoreResults(restore), log.Results())
}

func putJSON(ctx context.Context, store objectstore.Store, key string, v any) error {
	var content bytes.Buffer
	if err := layout.EncodeJSONGzip(&content, v); err != nil {
		return fmt.Errorf("encoding %s: %w", key, err)
	}
	return store.Put(ctx, key, &content)
}

// resumeLog goes on with the log and the results in the bucket.
func (r *Reconciler) resumeLog(ctx context.Context, store objectstore.Store, restore *velerov1.Restore) (*itemlog.Log, error) {
	var results layout.Results
	if err := readJSON(ctx, store, layout.RestoreResults(restore.Name), &results); err != nil {
		return nil, err
	}
	lines, err := store.Get(ctx, layout.RestoreLog(restore.Name))
	if errors.Is(err, objectstore.ErrNotFound) {
		lines, err = io.NopCloser(bytes.NewReader(nil)), nil
	}
	if err != nil {
		return nil, err
	}
	log, err := itemlog.Resume(r.logOptions(restore), lines, results)
	return log, errors.Join(err, lines.Close())
}
