// Package moverparts has what all pods in which a mover runs have in common: where
// they find the storage location, its credentials and the repository's password,
// and what they take over from the pod that starts them.
//
// It is pure. The node agent builds pods that move volumes of it
// (nodeagent/moverpod), the server Jobs that maintain repositories
// (controllers/repository/maintenance).
package moverparts

import (
	"cmp"
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
)

// Where things are mounted in a mover.
const (
	CacheDir        = "/cache"
	TemporaryDir    = "/tmp"
	InputsDir       = "/inputs"
	CredentialsFile = InputsDir + "/cloud"
	PasswordFile    = InputsDir + "/repository-password"

	authoritiesFile = InputsDir + "/ca.crt"
)

// inputsVolume is the name of the volume at InputsDir.
const inputsVolume = "inputs"

// Program and Subcommand are how a mover is started; its argument is the task.
const (
	Program    = "/podkeep"
	Subcommand = "mover"
)

// authoritiesVariable names the file from which Go programs read the system's
// certificate authorities (crypto/x509, root_unix.go).
const authoritiesVariable = "SSL_CERT_FILE"

// SecretFileMode lets root, as which movers of volumes run, read a Secret, and
// nobody else.
const SecretFileMode = 0o400

// Mounts collects the volumes of a mover, where they are mounted, and variables
// that say so.
//
// All small files are in one volume, InputsDir: each volume of its own costs the
// node a mount, and a restore of many pods waits for the node's processors.
//
// Secrets are optional, so that a mover without one starts and says what is
// missing; a pod without a Secret that it needs hangs and says nothing.
type Mounts struct {
	Volumes []corev1.Volume
	Mounts  []corev1.VolumeMount
	Env     []corev1.EnvVar

	// SecretMode is the mode of files in InputsDir; 0 means SecretFileMode.
	SecretMode int32

	inputs *corev1.ProjectedVolumeSource // in Volumes; nil while there is none
}

// Add mounts a source at a path.
func (m *Mounts) Add(name, mountPath string, source corev1.VolumeSource) {
	m.AddMount(name, source, corev1.VolumeMount{MountPath: mountPath})
}

// AddMount mounts a source.
func (m *Mounts) AddMount(name string, source corev1.VolumeSource, mount corev1.VolumeMount) {
	mount.Name = name
	m.Volumes = append(m.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	m.Mounts = append(m.Mounts, mount)
}

// AddPassword mounts the password of the repositories at PasswordFile.
func (m *Mounts) AddPassword(key *corev1.SecretKeySelector) {
	m.AddInput(secretFile(key, path.Base(PasswordFile)))
}

// AddLocation mounts what it takes to reach a storage location: for a folder the
// folder, else the credentials at CredentialsFile, unless there are none, and the
// certificates. The error names the field of the location that is wrong.
func (m *Mounts) AddLocation(bsl *velerov1.BackupStorageLocation, credentials *corev1.SecretKeySelector) error {
	l, err := location.New(bsl)
	if err != nil {
		return fmt.Errorf("backup storage location %s: %w", bsl.Name, err)
	}
	if l.Provider == location.ProviderFilesystem {
		return m.addFolder(l)
	}
	if credentials != nil {
		m.AddInput(secretFile(credentials, path.Base(CredentialsFile)))
	}
	if s := bsl.Spec.ObjectStorage; s != nil && s.CACertRef != nil {
		m.AddInput(secretFile(s.CACertRef, path.Base(authoritiesFile)))
		m.Env = append(m.Env, corev1.EnvVar{Name: authoritiesVariable, Value: authoritiesFile})
	}
	return nil
}

// addFolder mounts a location that is a folder. Without a claim or a directory of
// the node the mover would write into its own container, and lose it.
func (m *Mounts) addFolder(l location.Location) error {
	mount := corev1.VolumeMount{MountPath: l.Config[location.ConfigFilesystemPath], ReadOnly: l.ReadOnly}
	claim, hostPath := l.Config[location.ConfigFilesystemClaim], l.Config[location.ConfigFilesystemHostPath]
	switch {
	case claim != "":
		m.AddMount("location", corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}, mount)
	case hostPath != "":
		m.AddMount("location", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{
			Path: hostPath, Type: ptr.To(corev1.HostPathDirectoryOrCreate),
		}}, mount)
	default:
		return fmt.Errorf("backup storage location %s: spec.config: Required value: %q or %q must say what is mounted at %q",
			l.Name, location.ConfigFilesystemClaim, location.ConfigFilesystemHostPath, mount.MountPath)
	}
	return nil
}

// EmptyDir is a folder that lives as long as the pod.
func EmptyDir() corev1.VolumeSource {
	return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
}

// AddInput adds files to InputsDir.
func (m *Mounts) AddInput(files corev1.VolumeProjection) {
	if m.inputs == nil {
		m.inputs = &corev1.ProjectedVolumeSource{DefaultMode: ptr.To(cmp.Or(m.SecretMode, int32(SecretFileMode)))}
		m.AddMount(inputsVolume, corev1.VolumeSource{Projected: m.inputs}, corev1.VolumeMount{MountPath: InputsDir, ReadOnly: true})
	}
	m.inputs.Sources = append(m.inputs.Sources, files)
}

func secretFile(key *corev1.SecretKeySelector, file string) corev1.VolumeProjection {
	return corev1.VolumeProjection{Secret: &corev1.SecretProjection{
		LocalObjectReference: key.LocalObjectReference,
		Items:                []corev1.KeyToPath{{Key: key.Key, Path: file}},
		Optional:             ptr.To(true),
	}}
}
