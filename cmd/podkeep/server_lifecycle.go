package main

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/podkeep/podkeep/config/install"
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
	)
}
