package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/artifacts"
	"github.com/podkeep/podkeep/tests/cluster/internal/command"
)

// containerdTimeout bounds the wait for containerd, which takes a second or two.
const containerdTimeout = time.Minute

// importImages gives the node its own images.
func (h *Host) importImages(ctx context.Context, pid int, set artifacts.Set) error {
	if err := h.awaitContainerd(ctx, pid, set); err != nil {
		return err
	}
	for name, reference := range artifacts.Images {
		if err := importImage(ctx, pid, set, set.Image(name)); err != nil {
			return fmt.Errorf("importing image %s: %w", reference, err)
		}
	}
	if err := pinSandboxImage(ctx, pid, set); err != nil {
		return err
	}
	h.Out.Printf("imported the images")
	return nil
}

// pinSandboxImage keeps the kubelet from removing the image without which no
// sandbox could start.
func pinSandboxImage(ctx context.Context, pid int, set artifacts.Set) error {
	if err := command.Run(ctx, ctr(pid, set, "images", "label", cluster.PauseImage, "io.cri-containerd.pinned=pinned")...); err != nil {
		return fmt.Errorf("pinning the sandbox image: %w", err)
	}
	return nil
}

func (h *Host) awaitContainerd(ctx context.Context, pid int, set artifacts.Set) error {
	ctx, cancel := context.WithTimeout(ctx, containerdTimeout)
	defer cancel()
	for {
		err := command.Run(ctx, ctr(pid, set, "version")...)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for containerd: %w", err)
		case <-time.After(pollInterval):
		}
	}
}

// LoadImage imports an image from a tar file, an OCI or Docker archive.
func (h *Host) LoadImage(ctx context.Context, set artifacts.Set, path string) error {
	pid, err := h.nodeProcess()
	if err != nil {
		return err
	}
	if pid == 0 {
		return ErrNotUp
	}
	if err := importImage(ctx, pid, set, path); err != nil {
		return fmt.Errorf("importing image file %s: %w", path, err)
	}
	if !h.Node.HasControlPlane() {
		return nil
	}
	// The second node has what the first has.
	if err := h.second().LoadImage(ctx, set, path); !errors.Is(err, ErrNotUp) {
		return err
	}
	return nil
}

// importImage reads the file here: the node may see something else at its path.
func importImage(ctx context.Context, pid int, set artifacts.Set, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return command.Command{
		Args:  ctr(pid, set, "images", "import", "-"),
		Stdin: io.Reader(file),
	}.Run(ctx)
}

// ctr is the command line of containerd's client, for the images of Kubernetes.
func ctr(pid int, set artifacts.Set, args ...string) []string {
	base := []string{"ctr", "--address", cluster.ContainerdSocket, "--namespace", "k8s.io"}
	return enter(pid, set.Bin(), append(base, args...)...)
}
