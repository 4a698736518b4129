package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"

	"github.com/podkeep/podkeep/internal/archive"
	"github.com/podkeep/podkeep/internal/itemlog"
)

// output takes the items of a backup one by one and writes them to scratch
// files: the archive, and the list of what is in it.
type output struct {
	archiveFile *os.File
	listFile    *os.File
	archive     *archive.Writer
	list        *resourceList
	log         *itemlog.Log
	progress    *progress
}

// newOutput creates the scratch files. The caller removes them with close.
func newOutput(dir string, clk clock.PassiveClock, log *itemlog.Log, p *progress) (_ *output, err error) {
	out := &output{log: log, progress: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, out.Close())
		}
	}()
	if out.archiveFile, err = os.CreateTemp(dir, "podkeep-backup-*.tar.gz"); err != nil {
		return nil, fmt.Errorf("creating scratch file of the archive: %w", err)
	}
	if out.listFile, err = os.CreateTemp(dir, "podkeep-backup-*.json.gz"); err != nil {
		return nil, fmt.Errorf("creating scratch file of the resource list: %w", err)
	}
	if out.archive, err = archive.NewWriter(out.archiveFile, clk); err != nil {
		return nil, err
	}
	out.list, err = newResourceList(out.listFile)
	return out, err
}

// add writes one item. Only items that an archive cannot hold are left out, with
// an error in the results; any other error ends the backup.
func (o *output) add(ctx context.Context, res resource, u *unstructured.Unstructured) error {
	content, err := json.Marshal(u.Object)
	if err != nil {
		return fmt.Errorf("encoding %s %s/%s: %w", res.GroupResource(), u.GetNamespace(), u.GetName(), err)
	}
	err = o.archive.Add(archive.Item{
		GroupResource: res.GroupResource(),
		Version:       res.Version,
		Preferred:     res.preferred,
		Namespace:     u.GetNamespace(),
		Name:          u.GetName(),
		Object:        content,
	})
	if errors.Is(err, archive.ErrBadItem) {
		o.log.Error(itemlog.Entry{
			Namespace: u.GetNamespace(), Cluster: true,
			Resource: res.GroupResource().String(), Name: u.GetName(), Message: "Item cannot be archived", Err: err,
		})
		return nil
	}
	if err != nil {
		return err
	}
	o.list.add(u.GroupVersionKind(), u.GetNamespace(), u.GetName())
	o.progress.items++
	return o.progress.tick(ctx)
}

// finish completes the files. Nothing can be added after it.
func (o *output) finish() error {
	return errors.Join(o.archive.Close(), o.list.close())
}

// Close removes the scratch files.
func (o *output) Close() error {
	return errors.Join(removeFile(o.archiveFile), removeFile(o.listFile))
}

func removeFile(f *os.File) error {
	if f == nil {
		return nil
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// reopen reads a scratch file from its beginning, for an upload.
func reopen(f *os.File) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return os.Open(f.Name()) }
}
