"""Simulated recordings: an arm driven by its muscles, its wrist's IMU and its biceps' EMG.

It exists so that the project stands alone, without anybody's recordings. Every recording it makes
says `simulated: true` in its provenance, and no figure measured on one says anything about people.

What causes what
----------------
A movement programme (curls, holds, reaches, rests) gives the wanted elbow angle. A controller
turns it into the *excitation* u(t) of the elbow flexors and extensors. From there on nothing is
prescribed:

    u(t) ──► raw EMG = gain · shape(u) · coloured noise + hum + movement artifacts + pops
     └─ delay ─► activation a(t) ─► muscle force ─► elbow torque ─► motion ─► IMU at the wrist

so the EMG leads the motion, the same motion needs more EMG under load, against gravity, when
shortening fast and when tired, and a hold shows EMG with the IMU at rest.

Equations (version `EQUATIONS_VERSION`)
---------------------------------------
*Wanted angle*: minimum-jerk moves, q = q0 + (q1 − q0)(10 s³ − 15 s⁴ + 6 s⁵) [1].

*Controller*: inverse dynamics of the wanted motion gives a net torque τ; flexors and extensors
share it as ((1 + 2 c)√(τ² + τ0²) ± τ)/2, where c is co-contraction; the muscle equations are
solved for the activation, then u = a + T ȧ one electromechanical delay ahead; plus feedback on the
delayed angle (proportional, derivative, slow integral) and signal-dependent noise [2]. It believes
slightly wrong loads and strengths.

*Activation* [3, 4]: ȧ = (u(t − d) − a)/T, T = T_act (0.5 + 1.5 a) when u > a, else T_deact/(0.5 +
1.5 a). d is the electromechanical delay: 30 to 60 ms, where [5] measured 49.5 to 55.5 ms for the
elbow flexors from onset of EMG to onset of force.

*Muscle* [4], Hill type with a rigid tendon and no pennation: F = F0 · a · f_l(l) · f_v(k), f_l =
exp(−(l − 1)²/0.45); k = l̇/(10 (0.25 + 0.75 a)) in optimal lengths a second; f_v = (1 + k)/(1 −
k/0.3) when shortening and (1 + 1.4 c k)/(1 + c k), c = (2 + 2/0.3)/0.4, when lengthening. Fibre
length follows from the moment arm, dl/dθ = −r(θ)/L0, with r(θ) the polynomials of [6] and L0 of
[7]. One flexor muscle stands for biceps, brachialis and brachioradialis, one extensor for triceps;
F0 comes from the isometric torque at 90° [8].

*Fatigue*: capacity falls with activation and recovers, Ḟ = k_f a (1 − F) − k_r F, one compartment
of [9]; force is scaled by 1 − F and the EMG spectrum moves down.

*Arm*: forearm, hand and dumbbell turn about an elbow that the shoulder moves: I ψ̈ = τ_muscles +
τ_passive − C (g sin ψ + a_elbow · t̂), ψ = shoulder + elbow angle, masses, centres and radii of
gyration from [10]; τ_passive = −k (θ − θ0) − b θ̇ and stiff ends of the range, k and b of the
order [11, 12] measured. Abduction (a few degrees) and pronation turn the sensor but are left out
of this planar equation. Semi-implicit Euler at 1 kHz.

*IMU*: the outward Newton–Euler recursion [13] along shoulder, elbow and pronation gives angular
rate and specific force: gravity, tangential α × r and centripetal ω × (ω × r) terms. Then the
rotation of the mounting, bias, scale error, strap vibration, noise and the int16 counts of a named
part.

*EMG*: Gaussian noise with the spectrum P(f) ∝ f²/((f² + f_l²)(f² + f_h²)²) [14, 15] between 20 and
450 Hz; its standard deviation is gain · ((1 − c) u + c u²), more than proportional as in biceps
[16]. The biceps' part in flexion falls as the forearm pronates [17].

Sources
-------
[1] Flash & Hogan, J Neurosci 5 (1985). [2] Harris & Wolpert, Nature 394 (1998). [3] Zajac, Crit
Rev Biomed Eng 17 (1989). [4] Thelen, J Biomech Eng 125 (2003). [5] Cavanagh & Komi, Eur J Appl
Physiol 42 (1979). [6] Pigeon, Yahia & Feldman, J Biomech 29 (1996). [7] Holzbaur, Murray & Delp,
Ann Biomed Eng 33 (2005). [8] Askew, An, Morrey & Chao, Clin Orthop 222 (1987). [9] Xia & Frey-Law,
J Biomech 41 (2008). [10] Winter, Biomechanics and Motor Control of Human Movement, 4th ed. (2009),
tables 3.1 and 4.1. [11] Hayes & Hatze, Eur J Appl Physiol 37 (1977). [12] MacKay et al., J Biomech
19 (1986). [13] Craig, Introduction to Robotics, ch. 6. [14] Shwedyk, Balasubramanian & Scott, IEEE
Trans Biomed Eng 24 (1977). [15] Stulen & De Luca, IEEE Trans Biomed Eng 28 (1981). [16] Lawrence &
De Luca, J Appl Physiol 54 (1983). [17] Basmajian & De Luca, Muscles Alive, 5th ed. (1985).
"""

from myowave.simulate.simulator import (
    EQUATIONS_VERSION,
    Simulation,
    SimulationSet,
    simulate,
    simulate_truth,
    write_set,
)
from myowave.simulate.subject import Session, Subject, draw_session, draw_subject

__all__ = [
    "EQUATIONS_VERSION",
    "Session",
    "Simulation",
    "SimulationSet",
    "Subject",
    "draw_session",
    "draw_subject",
    "simulate",
    "simulate_truth",
    "write_set",
]
