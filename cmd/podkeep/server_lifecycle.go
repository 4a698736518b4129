package main

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/podkeep/podkeep/config/install"
	"github.com/podkeep/podkeep/controllers/coverage"
	"github.com/podkeep/podkeep/controllers/deletion"
	"github.com/podkeep/podkeep/controllers/expiration"
	"github.com/podkeep/podkeep/controllers/repository/maintenance"
	"github.com/podkeep/podkeep/controllers/schedule"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/mover/repository"
)

// addLifecycleControllers adds what makes and removes backups and maintains
// repositories by the clock.
func addLifecycleControllers(mgr ctrl.Manager, flags serverFlags, access *locationaccess.Resolver) error {
	c, reader, clk, ns := mgr.GetClient(), mgr.GetAPIReader(), clock.RealClock{}, flags.namespace
	recorder := mgr.GetEventRecorder("podkeep")
	return errors.Join(
		(&schedule.Reconciler{
			Client: c, Reader: reader, Clock: clk, Recorder: recorder, Namespace: ns, SkipImmediately: flags.skipImmediately,
		}).SetupWithManager(mgr),
		(&deletion.Reconciler{
			Client: c, Reader: reader, Locations: access, Clock: clk, Recorder: recorder, Namespace: ns,
			ScratchDir: flags.scratchDir, RetryTimeout: flags.storageTimeout,
			Repositories: deletion.Repositories{
				DeleteSnapshots: repository.DeleteSnapshots, Reason: repository.Reason, IsTerminal: repository.IsTerminal,
			},
		}).SetupWithManager(mgr),
		(&maintenance.Reconciler{
			Client: c, Reader: reader, Locations: access, Clock: clk, Recorder: recorder, Namespace: ns,
			PodName: flags.podName, ConfigMap: flags.maintainConfigMap,
			Credentials: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: install.CredentialsSecret}, Key: install.CredentialsKey,
			},
		}).SetupWithManager(mgr),
		(&expiration.Reconciler{
			Client: c, Clock: clk, Recorder: recorder, Namespace: ns, Frequency: flags.gcFrequency,
		}).SetupWithManager(mgr),
		addCoverage(mgr, flags),
	)
}

// addCoverage adds what measures which volumes are protected.
func addCoverage(mgr ctrl.Manager, flags serverFlags) error {
	watcher, err := client.NewWithWatch(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return fmt.Errorf("making the client that watches volumes: %w", err)
	}
	return (&coverage.Reconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Watcher: watcher, Clock: clock.RealClock{}, Registry: metrics.Registry,
		Namespace: flags.namespace, ServerDefault: flags.defaultToFSB,
	}).SetupWithManager(mgr)
}
