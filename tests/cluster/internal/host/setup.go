package host

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/artifacts"
	"github.com/podkeep/podkeep/tests/cluster/internal/command"
)

//go:embed manifests.yaml
var manifests string

// readyTimeout bounds each wait for something in the cluster, which takes
// seconds; more when the machine compiles meanwhile.
const readyTimeout = "120s"

// setUp makes the objects that belong to every cluster and waits for them.
func (h *Host) setUp(ctx context.Context, set artifacts.Set) error {
	objects, err := renderManifests()
	if err != nil {
		return err
	}
	if err := h.kubectl(ctx, set, objects, "apply", "--server-side", "--filename=-"); err != nil {
		return fmt.Errorf("making the cluster's own objects: %w", err)
	}
	for _, wait := range [][]string{
		{"wait", "--for=create", "node/" + cluster.NodeName},
		{"wait", "--for=condition=Ready", "node/" + cluster.NodeName},
		{"wait", "--for=create", "serviceaccount/default", "--namespace=default"},
	} {
		if err := h.kubectl(ctx, set, "", append(wait, "--timeout="+readyTimeout)...); err != nil {
			return fmt.Errorf("waiting for the node: %w", err)
		}
	}
	h.Out.Printf("node %s is ready", cluster.NodeName)
	if err := h.kubectl(ctx, set, "", "rollout", "status", "deployment/versitygw", "--namespace=s3", "--timeout="+readyTimeout); err != nil {
		return fmt.Errorf("waiting for the S3 gateway: %w", err)
	}
	return h.awaitS3(ctx)
}

// awaitS3 waits until the gateway answers this machine, which also shows that
// kube-proxy and the routes are in place.
func (h *Host) awaitS3(ctx context.Context) error {
	const tries = 60
	for range tries {
		if answers(ctx, s3URL) {
			h.Out.Printf("the S3 gateway answers at %s", s3URL)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
	return fmt.Errorf("the S3 gateway does not answer at %s", s3URL)
}

const s3URL = "http://" + cluster.S3Address + ":9000/"

// answers reports whether a server sends any answer. That of the gateway to a
// request without credentials is a refusal.
func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil
}

func renderManifests() (string, error) {
	parsed, err := template.New("manifests").Parse(manifests)
	if err != nil {
		return "", fmt.Errorf("reading the manifests: %w", err)
	}
	var out strings.Builder
	err = parsed.Execute(&out, map[string]string{
		"S3Image":   cluster.S3Image,
		"S3Address": cluster.S3Address,
		"NodeS3":    cluster.NodeS3,
	})
	if err != nil {
		return "", fmt.Errorf("filling in the manifests: %w", err)
	}
	return out.String(), nil
}

// kubectl runs kubectl, which leaves nothing outside the state folder.
func (h *Host) kubectl(ctx context.Context, set artifacts.Set, stdin string, args ...string) error {
	base := []string{
		filepath.Join(set.Bin(), "kubectl"),
		"--kubeconfig=" + h.State.Kubeconfig(),
		"--cache-dir=" + h.State.Join("kubectl-cache"),
	}
	return command.Command{
		Args:  append(base, args...),
		Stdin: strings.NewReader(stdin),
	}.Run(ctx)
}
