package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Times of requests for the server's status, as in Velero's client.
const (
	statusTimeout = 5 * time.Second
	statusPoll    = 250 * time.Millisecond
)

// serverStatus asks the server for its version and plugins.
func (s *session) serverStatus(ctx context.Context, t cluster, timeout time.Duration) (*velerov1.ServerStatusRequest, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := s.clock.AfterFunc(timeout, cancel)
	defer late.Stop()
	request := &velerov1.ServerStatusRequest{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, GenerateName: "velero-cli-"}}
	if err := t.Create(ctx, request); err != nil {
		return nil, t.explain(ctx, err, backups, "")
	}
	for {
		if err := t.Get(ctx, client.ObjectKeyFromObject(request), request); err == nil &&
			request.Status.Phase == velerov1.ServerStatusRequestPhaseProcessed {
			return request, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the server has not answered within %s; look at it with: kubectl get pods -n %s", timeout, t.namespace)
		case <-s.clock.After(statusPoll):
		}
	}
}
